//! The way to the cluster's API server: who we are there, and how long we wait.
//!
//! Is told: a kubeconfig, or nothing. Emits: a client, and the namespace that this program is installed in. Whether
//! the API server answers is not looked at: everybody who uses the client copes with its absence.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// The longest that the API server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The longest that it may take for a part of an answer. Watches are told something at least every minute.
const READ_LIMIT: Duration = Duration::from_secs(90);
/// Upstream's namespace.
const NAMESPACE: &str = "openperouter-system";

/// How the API server is found.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ApiServerArgs {
    /// Credentials for the API server [default: the pod's own, else KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The namespace that perouter is installed in, where its Secrets and its status are [default: the pod's own, else
    /// openperouter-system]
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub(crate) pod_namespace: Option<String>,
}

/// A client, and the namespace that this program is installed in.
#[derive(Clone)]
pub(crate) struct ApiServer {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Makes a client. Nothing is sent yet.
///
/// # Errors
/// A sentence: there are no credentials, or they cannot be used.
pub(crate) async fn connect(args: &ApiServerArgs) -> Result<ApiServer, String> {
    let (mut config, in_cluster) = find(args.kubeconfig.as_deref()).await?;
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(READ_LIMIT);
    config.reset_reader_on_write = true;
    let namespace = args
        .pod_namespace
        .clone()
        .or_else(|| in_cluster.then(|| config.default_namespace.clone()))
        .unwrap_or_else(|| NAMESPACE.to_owned());
    let client =
        Client::try_from(config).map_err(|error| format!("cannot use the API server's credentials: {error}"))?;
    Ok(ApiServer { client, namespace })
}

async fn find(file: Option<&Path>) -> Result<(Config, bool), String> {
    let shown = |file: &Path| file.display().to_string();
    if let Some(file) = file {
        let kubeconfig = Kubeconfig::read_from(file).map_err(|error| format!("cannot use {}: {error}", shown(file)))?;
        return Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map(|config| (config, false))
            .map_err(|error| format!("cannot use {}: {error}", shown(file)));
    }
    let in_cluster = match Config::incluster() {
        Ok(config) => return Ok((config, true)),
        Err(error) => error,
    };
    Config::from_kubeconfig(&KubeConfigOptions::default()).await.map(|config| (config, false)).map_err(|error| {
        format!("no credentials for an API server: not in a pod ({in_cluster}), and no kubeconfig ({error})")
    })
}
