//! What can be typed. Types only: what is meant by it is decided in `main`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use config::node::Http;
use ipnet::IpNet;

use crate::apiserver::ApiServerArgs;
use crate::logging::LogFormat;

/// Default of `--state-dir`.
pub(crate) const STATE_DIR: &str = "/run/perouter";
/// Default of `--config-dir`.
pub(crate) const CONFIG_DIR: &str = "/etc/openperouter/configs";
/// Default of `--node-config`.
pub(crate) const NODE_CONFIG: &str = "/etc/openperouter/node-config.yaml";
/// Default of `--can-start`.
pub(crate) const CAN_START: &str = "/var/lib/openperouter/can_start.sh";
/// Default of `--namespace`.
pub(crate) const NAMESPACE: &str = "perouter";

const EXAMPLES: &str = "\
Examples:
  perouter run                        be the router of this node
  perouter status                     is everything in order? (exit code 0 or 1)
  perouter peers fabric               one session in detail
  perouter events -f                  what happened, and what happens
  perouter plan --config-dir ./new    what would these files change?
  perouter clear fabric --soft in     have a peer send its routes again
  perouter drain                      have peers move their traffic, then end every session
  perouter routes 10.1.2.3            which route does this address take, and why?
  perouter explain 10.1.2.3           the walk of a packet to it, and of the answer
  perouter top                        sessions and rates, live
  perouter trace fabric               a peer's messages as they pass
  perouter -o json status | jq .problems

Exit codes: 0 fine, 1 the answer is \"not healthy\", 2 usage or no daemon answers.";

/// An L3 passthrough router for one node, with its own BGP speaker.
#[derive(Debug, Parser)]
#[command(name = "perouter", version = crate::VERSION, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Directory of the daemon's socket and state [default: /run/perouter]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// How answers are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,

    /// How log lines look; they go to standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// error, warn, info, debug or trace, or a filter such as `info,engine=debug` [default: the node's file, else info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The state directory in use.
    pub(crate) fn state_dir(&self) -> &Path {
        self.state_dir.as_deref().unwrap_or(Path::new(STATE_DIR))
    }

    /// Whether `--state-dir` was typed.
    pub(crate) fn state_dir_typed(&self) -> bool {
        self.state_dir.is_some()
    }
}

/// Shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned tables for people.
    Table,
    /// The same with more columns.
    Wide,
    /// JSON for programs.
    Json,
    /// YAML for programs and people.
    Yaml,
}

/// What kind of answer a [`Format`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text for people, wide or not.
    Text { wide: bool },
    /// The value itself.
    Value(Notation),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Json,
    Yaml,
}

impl Format {
    /// Its kind.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Table => Shape::Text { wide: false },
            Self::Wide => Shape::Text { wide: true },
            Self::Json => Shape::Value(Notation::Json),
            Self::Yaml => Shape::Value(Notation::Yaml),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be the router of this node until told to stop
    #[command(after_help = "\
Examples:
  perouter run
  perouter run --config-dir ./configs --node-config ./node-config.yaml --namespace test
  perouter run --kubernetes                with the cluster's Underlays and L3Passthroughs too
  perouter run --http 127.0.0.1:9180       and serve metrics and the read-only API there

Files are watched and changes are applied live. SIGTERM leaves the data plane in place; `perouter teardown` removes it.")]
    Run(RunArgs),

    /// Only speak BGP, in the current network namespace, as one file says
    #[command(after_help = "\
Examples:
  perouter speak reflector.yaml
  perouter --state-dir ./state peers       ask it (stateDir of its file)

SIGHUP reads the file again and applies the difference.")]
    Speak(SpeakArgs),

    /// Check configuration files without a daemon; exit code 1 when something is rejected
    #[command(after_help = "\
Examples:
  perouter validate
  perouter validate openpe_underlay.yaml openpe_passthrough.yaml
  perouter validate reflector.yaml
  perouter validate --config-dir ./configs --node-config ./node-config.yaml")]
    Validate(ValidateArgs),

    /// What would change in the kernel and in BGP if the files were put in force, without changing anything
    #[command(after_help = "\
Examples:
  perouter plan                            with what the daemon reads; without a daemon, all that would be made
  perouter plan --config-dir ./new         before the files are copied to where the daemon applies them
  perouter -o json plan --config-dir ./new | jq .resets")]
    Plan(PlanArgs),

    /// Print the custom resource definitions of Kubernetes
    #[command(after_help = "\
Examples:
  perouter crds | kubectl apply --server-side -f -")]
    Crds,

    /// One screen: configuration, host, sessions, routes; exit code 1 when something is not as it should be
    #[command(after_help = "\
Examples:
  perouter status
  perouter -o json status | jq '.peers[] | select(.state != \"established\")'")]
    Status,

    /// What happened: sessions, repairs, reloads, refusals of the kernel
    #[command(after_help = "\
Examples:
  perouter events                          the last hundred
  perouter events -f                       and what happens from here on, until interrupted
  perouter -o json events -f | jq -c 'select(.level == \"warn\")'

The daemon keeps the last thousand in memory; the log of the system has what is older. Followers wait for a daemon that is
restarted.")]
    Events(EventsArgs),

    /// Sessions, or one in detail; exit code 1 when one is not up
    #[command(after_help = "\
Examples:
  perouter peers
  perouter peers fabric
  perouter peers 192.168.11.2")]
    Peers {
        /// Address or name of one peer
        #[arg(value_name = "ADDRESS|NAME")]
        peer: Option<String>,
    },

    /// End a session and begin it anew, or with --soft only exchange routes again
    #[command(after_help = "\
Examples:
  perouter clear fabric
  perouter clear 192.168.11.2 --message 'new optics'
  perouter clear fabric --soft in          the peer sends its routes again, the session stays
  perouter clear fabric --soft out         the peer is sent ours again
  perouter clear all

A peer that `perouter shutdown` took down comes back with it. The peer is told the message (RFC 9003).")]
    Clear(ClearArgs),

    /// End a session and have none until `perouter clear`
    #[command(after_help = "\
Examples:
  perouter shutdown fabric
  perouter shutdown 192.168.11.2 --message 'disk change, back at 14:00'
  perouter clear fabric                    ends it

`perouter clear` brings the peer back; so does a restart of the daemon, which keeps no memory of it. The peer is told the
message (RFC 9003).")]
    Shutdown(ShutdownArgs),

    /// Before the node goes: have peers move their traffic, then end every session
    #[command(after_help = "\
Examples:
  perouter drain
  perouter drain --wait 1m --message 'new kernel, back at 14:00'
  perouter drain --undo                    every session comes back

Peers are told GRACEFUL_SHUTDOWN (RFC 8326) and prefer other ways; after the wait every session ends. What still arrives is
forwarded, then as before. The daemon does it: an end of this command changes nothing. It stays so until --undo, or until
the daemon starts anew.")]
    Drain(DrainArgs),

    /// Whether the router lives, or is ready: for a supervisor; exit code 1 when not ready, 2 when nobody answers
    #[command(after_help = "\
Examples:
  perouter probe live
  perouter probe ready")]
    Probe {
        /// What is asked
        #[arg(value_enum)]
        what: Probe,
    },

    /// Routes and why they were chosen; exit code 1 when there is none for what was asked
    #[command(after_help = "\
Examples:
  perouter routes                          everything, best paths marked
  perouter routes 10.1.2.3                 the route that this address takes
  perouter routes 10.1.2.0/24              all paths of this prefix, each with its reason
  perouter routes --received fabric        what a peer sent
  perouter routes --advertised host --family ipv6")]
    Routes(RoutesArgs),

    /// What a cluster needs beside its routers: every node's index, and the webhook that judges objects
    #[command(after_help = "\
Examples:
  perouter cluster
  perouter cluster --kubeconfig ./kubeconfig --webhook-mode disabled

Of several replicas one leads and the others answer the webhook too. No router depends on it.")]
    Cluster(ClusterArgs),
    /// The walk of a packet through host and router, and of the answer; exit code 1 when one of them is lost
    #[command(after_help = "\
Examples:
  perouter explain 10.1.2.3                    from the host
  perouter explain 10.1.2.3 --source 10.244.1.7
  perouter explain 10.244.1.7 --from fabric    does what the fabric sends arrive?
  perouter -o json explain 10.1.2.3 | jq .verdicts

Rules, routes and next hops are those of the kernel's own lookup; nothing is sent.")]
    Explain(ExplainArgs),

    /// A peer's messages as they pass, decoded
    #[command(after_help = "\
Examples:
  perouter trace fabric                    until interrupted
  perouter trace 192.168.11.2 -n 10        ten messages
  perouter -o wide trace fabric            every prefix of each UPDATE
  perouter -o json trace fabric | jq 'select(.type == \"UPDATE\").withdrawn'

What already was exchanged is not repeated: `perouter clear fabric --soft in` has the peer send its routes again.")]
    Trace(TraceArgs),

    /// Sessions and rates, live, until interrupted
    #[command(after_help = "\
Examples:
  perouter top
  perouter top --interval 5s
  perouter top --count 1                   one picture, also into a file")]
    Top(TopArgs),

    /// One archive with everything that a maintainer needs to know, and no secret
    #[command(after_help = "\
Examples:
  perouter support-bundle                          perouter-support-NODE-TIME.tar in this directory
  perouter support-bundle --file /tmp/bundle.tar

Keys, passwords and tokens are taken out; look into it before it leaves your hands all the same. Without a daemon it has
the files, the kernel's state and the log.")]
    SupportBundle(BundleArgs),

    /// A shell's completions, on standard output
    #[command(after_help = "\
Examples:
  perouter completions bash > /usr/share/bash-completion/completions/perouter
  perouter completions zsh > /usr/share/zsh/site-functions/_perouter
  perouter completions fish > ~/.config/fish/completions/perouter.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// The manual: one page on standard output, or all of them into a directory
    #[command(after_help = "\
Examples:
  perouter man | man -l -
  perouter man --dir /usr/local/share/man/man1")]
    Man {
        /// Where to write perouter.1, perouter-status.1, ..
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },

    /// Give the NICs back and remove everything that `run` made
    #[command(after_help = "\
Examples:
  systemctl stop perouter && perouter teardown")]
    Teardown {
        /// The router's network namespace
        #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
        namespace: String,
    },

    /// Make the router's network namespace and end, for a router that cannot name it itself
    #[command(after_help = "\
Examples:
  perouter netns
  perouter netns --keep                    and give it its name back when somebody removes it

For a router in a container or a hardened unit, whose mounts the node does not see: `perouter run --prepared` uses what this
has made. `perouter teardown` removes it.")]
    Netns(NetnsArgs),

    /// The demonstration: a leaf, this router and a host in namespaces of this machine
    #[command(after_help = "\
Examples:
  perouter lab
  perouter lab --leaf frr --host bird --keep
  perouter lab down")]
    Lab(LabArgs),
}

/// `perouter run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Directory of openpe_*.yaml
    #[arg(long, value_name = "DIR", default_value = CONFIG_DIR)]
    pub(crate) config_dir: PathBuf,
    /// The node's own file
    #[arg(long, value_name = "FILE", default_value = NODE_CONFIG)]
    pub(crate) node_config: PathBuf,
    /// The router's network namespace [default: perouter]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Where it exists, this is run until it succeeds, and nothing is touched before
    #[arg(long, value_name = "PATH", default_value = CAN_START)]
    pub(crate) can_start: PathBuf,
    /// The namespace is made and named by `perouter netns`, never here
    #[arg(long)]
    pub(crate) prepared: bool,
    /// Take objects from a cluster's API server too, and report to it
    #[arg(long)]
    pub(crate) kubernetes: bool,
    /// Name of this node in the cluster [default: that of the node's file, else the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,
    #[command(flatten)]
    pub(crate) api_server: ApiServerArgs,
    /// Metrics over TCP.
    #[command(flatten)]
    pub(crate) http: HttpArgs,
}

/// `perouter netns`.
#[derive(Args, Debug)]
pub(crate) struct NetnsArgs {
    /// The router's network namespace
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub(crate) namespace: String,
    /// Stay, and keep the name
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `perouter speak`.
#[derive(Args, Debug)]
pub(crate) struct SpeakArgs {
    /// The speaker's file
    pub(crate) file: PathBuf,
    /// Metrics over TCP.
    #[command(flatten)]
    pub(crate) http: HttpArgs,
}

/// Where a daemon serves metrics and its read-only API over TCP.
#[derive(Args, Debug)]
pub(crate) struct HttpArgs {
    /// Serve metrics and the read-only API there, such as 127.0.0.1:9180 [default: `http` in the node's file]
    #[arg(long, env = "PEROUTER_HTTP", value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// A file with the token that every request must carry; needed beyond the loopback interface
    #[arg(long, env = "PEROUTER_HTTP_TOKEN_FILE", value_name = "FILE")]
    http_token_file: Option<PathBuf>,
}

impl HttpArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// A sentence when strangers could read, or when there is nothing that a token would be for.
    pub(crate) fn read(&self) -> Result<Option<Http>, String> {
        match (self.http, &self.http_token_file) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("--http-token-file needs --http: where should be listened?".to_owned()),
            (Some(listen), token_file) => {
                let http = Http { listen, token_file: token_file.clone() };
                http.check().map(|()| Some(http))
            }
        }
    }
}

/// `perouter plan`.
#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    /// Directory of openpe_*.yaml [default: the daemon's, else /etc/openperouter/configs]
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// The node's own file [default: the daemon's, else /etc/openperouter/node-config.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) node_config: Option<PathBuf>,
    /// The router's network namespace, when no daemon runs
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub(crate) namespace: String,
}

/// `perouter validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// Directory of openpe_*.yaml [default: /etc/openperouter/configs]
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(crate) config_dir: Option<PathBuf>,
    /// The node's own file [default: /etc/openperouter/node-config.yaml where it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) node_config: Option<PathBuf>,
    /// A file of `perouter speak`, whatever it looks like
    #[arg(long, value_name = "FILE", conflicts_with = "config_dir")]
    pub(crate) speak: Vec<PathBuf>,
    /// Files to check instead of a directory; those of `perouter speak` are known by their shape
    pub(crate) files: Vec<PathBuf>,
}

/// `perouter events`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventsArgs {
    /// So many of the last events, at most 1000
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) lines: u16,
    /// Go on with what happens
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `perouter clear`.
#[derive(Args, Debug)]
pub(crate) struct ClearArgs {
    /// Address or name of a peer, or `all`
    #[arg(value_name = "ADDRESS|NAME|all")]
    pub(crate) peer: String,
    /// Keep the session, and exchange routes again: the peer's, ours or both
    #[arg(long, value_enum, value_name = "DIRECTION")]
    pub(crate) soft: Option<SoftArg>,
    /// A text for the peer's operator, at most 255 octets
    #[arg(long, value_name = "TEXT", conflicts_with = "soft")]
    pub(crate) message: Option<String>,
}

/// Directions of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SoftArg {
    /// The peer's.
    In,
    /// Ours.
    Out,
    /// Both.
    Both,
}

/// `perouter shutdown`.
#[derive(Args, Debug)]
pub(crate) struct ShutdownArgs {
    /// Address or name of a peer
    #[arg(value_name = "ADDRESS|NAME")]
    pub(crate) peer: String,
    /// A text for the peer's operator, at most 255 octets
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

/// `perouter drain`.
#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// How long peers have to move their traffic: seconds, or 90s, 5m, 1h [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "undo")]
    pub(crate) wait: Option<Duration>,
    /// A text for the peers' operators, at most 255 octets
    #[arg(long, value_name = "TEXT", conflicts_with = "undo")]
    pub(crate) message: Option<String>,
    /// Bring every session back
    #[arg(long)]
    pub(crate) undo: bool,
    /// Only when the cluster's Node says that the node shuts down; else nothing is done
    #[arg(long, conflicts_with = "undo", requires = "node_name")]
    pub(crate) at_node_shutdown: bool,
    /// Name of this node in the cluster
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,
    #[command(flatten)]
    pub(crate) api_server: ApiServerArgs,
}

/// What a supervisor asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Probe {
    /// The daemon answers.
    Live,
    /// And every session is up, or could not be had within a minute.
    Ready,
}

/// `perouter cluster`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) api_server: ApiServerArgs,
    /// Name of this replica [default: the host's name and the process]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) identity: Option<String>,
    /// Name of the Lease whose holder leads
    #[arg(long, value_name = "NAME", default_value = "perouter-cluster")]
    pub(crate) lease: String,
    /// Whether objects are judged when they are written, and whether that is all that is done
    #[arg(long, value_enum, value_name = "MODE", default_value_t = WebhookMode::Enabled)]
    pub(crate) webhook_mode: WebhookMode,
    /// Port of the webhook
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub(crate) webhook_port: u16,
    /// Service through which the API server reaches the webhook
    #[arg(long, value_name = "NAME", default_value = "openpe-webhook-service")]
    pub(crate) webhook_service: String,
    /// Another name or address by which an API server reaches it; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) webhook_name: Vec<String>,
    /// Secret of the webhook's certificate, which must exist
    #[arg(long, value_name = "NAME", default_value = "openpe-webhook-server-cert")]
    pub(crate) webhook_secret: String,
    /// Configuration of the webhook, where the API server is told whom to trust
    #[arg(long, value_name = "NAME", default_value = "openpe-validating-webhook-configuration")]
    pub(crate) webhook_configuration: String,
    /// How long a certificate is valid; the next one comes when two thirds of that are over
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "8760h")]
    pub(crate) certificate_lifetime: Duration,
    /// Port of the probes /healthz and /readyz
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) health_port: u16,
}

/// What the webhook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WebhookMode {
    /// Webhook and indices.
    Enabled,
    /// Indices only.
    Disabled,
    /// Webhook only.
    Webhookonly,
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        _ => None,
    };
    let time = seconds.and_then(|seconds| number.parse::<u64>().ok()?.checked_mul(seconds));
    time.map(Duration::from_secs).ok_or_else(|| "not a time such as 30, 90s, 5m or 1h".to_owned())
}

/// `perouter routes`.
#[derive(Args, Debug)]
pub(crate) struct RoutesArgs {
    /// An address (longest match) or a prefix (exactly this one, else the longest match)
    #[arg(value_name = "PREFIX|ADDRESS", value_parser = target)]
    pub(crate) target: Option<Target>,
    /// Longest match also for a prefix
    #[arg(long, requires = "target")]
    pub(crate) longest: bool,
    /// What this peer sent, refused routes included
    #[arg(long, value_name = "PEER", conflicts_with = "advertised")]
    pub(crate) received: Option<String>,
    /// What this peer is sent
    #[arg(long, value_name = "PEER")]
    pub(crate) advertised: Option<String>,
    /// Only this family
    #[arg(long, value_enum)]
    pub(crate) family: Option<FamilyArg>,
}

/// `perouter trace`.
#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    /// Address or name of a peer
    #[arg(value_name = "ADDRESS|NAME")]
    pub(crate) peer: String,
    /// End after so many messages
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// `perouter top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Between two pictures: seconds, or 90s, 5m
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) interval: Duration,
    /// End after so many pictures
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// `perouter support-bundle`.
#[derive(Args, Debug)]
pub(crate) struct BundleArgs {
    /// The archive [default: perouter-support-NODE-TIME.tar]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Directory of openpe_*.yaml [default: /etc/openperouter/configs]
    #[arg(long, value_name = "DIR", default_value = CONFIG_DIR)]
    pub(crate) config_dir: PathBuf,
    /// The node's own file
    #[arg(long, value_name = "FILE", default_value = NODE_CONFIG)]
    pub(crate) node_config: PathBuf,
    /// The file of `perouter speak`
    #[arg(long, value_name = "FILE")]
    pub(crate) speak: Vec<PathBuf>,
}

/// `perouter explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Where the packet goes
    pub(crate) address: IpAddr,
    /// Where it begins
    #[arg(long, value_enum, value_name = "SIDE", default_value_t = SideArg::Host)]
    pub(crate) from: SideArg,
    /// Its source [default: what the kernel would take, or a fabric peer's address]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<IpAddr>,
}

/// Sides of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideArg {
    /// A program on the node.
    Host,
    /// Whoever is beyond the NICs.
    Fabric,
}

/// What `routes` is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address, as its host prefix.
    Address(IpNet),
    /// A prefix.
    Prefix(IpNet),
}

impl Target {
    /// Either as a prefix.
    pub(crate) fn prefix(self) -> IpNet {
        match self {
            Self::Address(prefix) | Self::Prefix(prefix) => prefix,
        }
    }
}

fn target(text: &str) -> Result<Target, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Target::Address(IpNet::from(address)));
    }
    let prefix: IpNet = text
        .parse()
        .map_err(|_| "neither an address (10.1.2.3) nor a prefix (10.1.2.0/24, 2001:db8::/32)".to_owned())?;
    if prefix != prefix.trunc() {
        return Err(format!("has bits set behind its length; did you mean {}?", prefix.trunc()));
    }
    Ok(Target::Prefix(prefix))
}

/// Address families by their short names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyArg {
    /// IPv4 unicast.
    #[value(alias = "ipv4unicast")]
    Ipv4,
    /// IPv6 unicast.
    #[value(alias = "ipv6unicast")]
    Ipv6,
}

/// `perouter lab`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LabArgs {
    /// `down`, or nothing.
    #[command(subcommand)]
    pub(crate) command: Option<LabCommand>,
    /// The fabric's side [default: the first of frr, bird, gobgp that is installed, else perouter]
    #[arg(long, value_enum, value_name = "DAEMON")]
    pub(crate) leaf: Option<DaemonArg>,
    /// The host's side [default: likewise]
    #[arg(long, value_enum, value_name = "DAEMON")]
    pub(crate) host: Option<DaemonArg>,
    /// Leave it up for exploring
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What else can be done with a lab.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Remove a lab that was kept
    Down,
}

/// Routing daemons that the lab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DaemonArg {
    /// FRR.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP.
    Gobgp,
    /// `perouter speak`.
    Perouter,
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cli_docs_tests.rs"]
mod docs;
