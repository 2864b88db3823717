//! The Kubernetes of the tests: it answers, and nothing is left of it.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use testbed::kube::{Kube, Mode};

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn an_api_server_answers_and_leaves_nothing() {
    let kube = Kube::shared(Mode::Api).unwrap();
    assert!(kube.ask(&["get", "namespaces"]).unwrap().contains("default"));
    let dir = kube.dir().to_owned();
    assert!(!running(&dir).is_empty());
    drop(kube);
    assert_eq!((dir.exists(), running(&dir)), (false, vec![]));
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn the_programs_of_envtest_will_do() {
    // The programs of the kit, laid out as envtest does.
    let control = Kube::start(Mode::Control).unwrap();
    let programs = running(control.dir()).into_iter().map(|pid| Path::new("/proc").join(pid).join("exe"));
    let programs: Vec<PathBuf> = programs.filter_map(|exe| exe.read_link().ok()).collect();
    let folder = tempfile::tempdir().unwrap();
    for name in ["etcd", "kube-apiserver"] {
        let program = programs.iter().find(|path| path.ends_with(name)).unwrap();
        symlink(program, folder.path().join(name)).unwrap();
    }
    drop(control);

    let kube = Kube::start_from(folder.path(), Mode::Api).unwrap();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, namespace: default}\ndata: {a: b}\n";
    kube.apply(map).unwrap();
    assert!(kube.ask(&["get", "configmap", "it", "-o", "yaml"]).unwrap().contains("a: b"));
    let refused = Kube::start_from(folder.path(), Mode::Node).unwrap_err().to_string();
    assert!(refused.contains("API server only"), "{refused}");
    let dir = kube.dir().to_owned();
    drop(kube);
    assert_eq!(running(&dir), [""; 0]);
}

/// Pids of the processes whose command line names this directory.
fn running(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy().into_owned();
    let named = |pid: &String| {
        let line = std::fs::read(Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&dir)
    };
    let all =
        std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(named).collect()
}
