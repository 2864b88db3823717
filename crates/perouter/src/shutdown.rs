//! Whether a cluster's node shuts down, as its kubelet says on the Node: what a pod that ends cannot see from itself.
//!
//! A router that ends because of an update must not drain: the next one goes on with what it left. Nobody to ask, or no
//! answer in time, counts as no: peers then keep the routes as after a crash.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use tokio::time::timeout;

use crate::apiserver;
use crate::cli::DrainArgs;

/// Longest that the question may take: the pod has a limited time to end.
const LIMIT: Duration = Duration::from_secs(3);

/// Asks for the node of these arguments.
pub(crate) async fn shuts_down(args: &DrainArgs) -> bool {
    let name = args.node_name.as_deref().unwrap_or_default();
    let why = match timeout(LIMIT, ask(args, name)).await {
        Ok(Ok(Some(node))) if says_so(&node) => return true,
        Ok(Ok(Some(_))) => "it does not shut down".to_owned(),
        Ok(Ok(None)) => "there is no Node of this name".to_owned(),
        Ok(Err(error)) => error,
        Err(_) => "the API server does not answer in time".to_owned(),
    };
    tracing::info!(node = name, why, "not draining");
    false
}

/// By a list, which is what routers are permitted.
async fn ask(args: &DrainArgs, name: &str) -> Result<Option<Node>, String> {
    let server = apiserver::connect(&args.api_server).await?;
    let nodes: Api<Node> = Api::all(server.client);
    let one = ListParams::default().fields(&format!("metadata.name={name}"));
    let nodes = nodes.list(&one).await.map_err(|error| error.to_string())?;
    Ok(nodes.items.into_iter().next())
}

/// Kubelet's words, since Kubernetes 1.20.
fn says_so(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status != "True");
    ready.any(|condition| condition.message.as_deref().is_some_and(|message| message.contains("node is shutting down")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(status: &str, message: &str) -> Node {
        let condition = serde_json::json!({ "type": "Ready", "status": status, "message": message });
        serde_json::from_value(serde_json::json!({ "metadata": {}, "status": { "conditions": [condition] } })).unwrap()
    }

    #[test]
    fn only_kubelets_own_words_mean_a_shutdown() {
        assert!(says_so(&node("False", "node is shutting down")));
        assert!(says_so(&node("False", "[container runtime is down, node is shutting down]")));
        assert!(!says_so(&node("False", "container runtime network not ready")));
        assert!(!says_so(&node("True", "kubelet is posting ready status")));
        assert!(!says_so(&Node::default()));
    }
}
