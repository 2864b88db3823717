use super::*;
use crate::status::Mode;

/// A node of a cluster that cannot be reached.
fn unreachable(state_dir: &std::path::Path) -> Cluster {
    let api = ApiServerArgs { kubeconfig: Some("/nonexistent".into()), pod_namespace: None };
    let options = ClusterOptions { api, node_name: Some("n".into()), state_dir: state_dir.to_owned() };
    Cluster::start(options, &Written::default(), SpeakerHandle::default(), Status::new(Mode::Run)).expect("a cluster")
}

/// Whoever waits for a burst waits for other things too, and begins anew after each of them.
#[tokio::test(start_paused = true)]
async fn a_burst_that_was_cancelled_is_reported_nevertheless_and_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = unreachable(folder.path());
    cluster.shared.change(|_| true);
    assert!(timeout(QUIET / 2, cluster.burst()).await.is_err(), "before it was quiet");
    timeout(LONGEST_BURST, cluster.burst()).await.expect("the burst that was begun");
    assert!(timeout(Duration::from_secs(60), cluster.burst()).await.is_err(), "reported twice");
}

#[tokio::test(start_paused = true)]
async fn changes_that_do_not_end_are_reported_nevertheless_and_those_of_others_never() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = unreachable(folder.path());
    let shared = cluster.shared.clone();
    tokio::spawn(async move {
        loop {
            shared.change(|_| true);
            tokio::time::sleep(QUIET / 2).await;
        }
    });
    let begin = Instant::now();
    cluster.burst().await;
    assert_eq!(begin.elapsed(), LONGEST_BURST);

    let mut quiet = unreachable(folder.path());
    quiet.shared.change(|_| false);
    assert!(timeout(Duration::from_secs(60), quiet.burst()).await.is_err(), "nothing that concerns this node");
}

#[tokio::test(start_paused = true)]
async fn the_first_configuration_waits_for_the_api_server_only_so_long() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = unreachable(folder.path());
    let begin = Instant::now();
    cluster.known(&Written::default()).await;
    assert_eq!(begin.elapsed(), FIRST);
    let (node, known) = cluster.node(&Written { index: Some(0), ..Written::default() });
    assert_eq!((node.name.as_str(), known), ("n", Ok(())));
    let missing = cluster.said(&node).complete.expect_err("nothing was said");
    assert!(missing.contains("Underlays, L3Passthroughs, Node"), "{missing}");
}
