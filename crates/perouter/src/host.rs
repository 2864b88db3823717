//! Keeps the host as it should be: observe, plan, apply, and again when something changed.
//!
//! Owns: the desired host and the pace of attempts. Is told: a new desired host, and that the kernel changed.
//! Emits: each step and each distinct error once as an event, the errors of the last attempt to the [`Status`].
//! Does not: decide what the host should be (`config` does), nor how to get there (`kernel::host` does).
//!
//! The same loop serves the first start, a reload, a NIC that was plugged in, and a stranger who changes what is
//! ours; they differ in what is observed, not in what is done.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use engine::Level;
use kernel::host::{DesiredHost, HostError, Observed, Op, SeenLink};
use tokio::time::Instant;

use crate::lifeline::{self, Lifeline};
use crate::status::Status;

/// Kernel changes come in bursts; this much quiet ends one.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Waits between attempts while the same steps fail, doubling in between.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Attempts that changed something and follow each other more closely than this are a fight with another program:
/// the pause between them grows to [`LONGEST_PAUSE`].
const FIGHT: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many times within so long a NIC is taken only when another program gives it back.
const CLAIMS: usize = 3;
const CLAIMS_WITHIN: Duration = Duration::from_secs(600);
/// A look without any cause, because the kernel does not tell of everything (sysctls).
const AUDIT: Duration = Duration::from_secs(60);

/// When to try next. Pure: told the time.
#[derive(Debug, Default)]
struct Pace {
    /// The next attempt, if one is due at all.
    due: Option<Instant>,
    /// Wait before the next attempt while things fail; `None` when nothing failed.
    retry: Option<Duration>,
    /// When the last attempt that changed something ended.
    changed: Option<Instant>,
    pause: Duration,
}

impl Pace {
    /// The kernel changed: soon, but after the burst and not in the middle of a pause.
    fn kernel_changed(&mut self, now: Instant) {
        let earliest = now + DEBOUNCE.max(self.pause);
        // A retry that is far away is brought forward: the change may be what it waits for.
        if self.due.is_none_or(|due| due > earliest) {
            self.due = Some(earliest);
        }
    }

    /// An attempt ended.
    fn attempted(&mut self, now: Instant, changed: bool, failed: bool) {
        if changed {
            let fight = self.changed.is_some_and(|before| now < before + FIGHT.max(self.pause * 2));
            self.pause = if fight { (self.pause * 2).clamp(DEBOUNCE * 2, LONGEST_PAUSE) } else { Duration::ZERO };
            self.changed = Some(now);
        }
        self.retry = failed.then(|| self.retry.map_or(FIRST_RETRY, |wait| (wait * 2).min(LONGEST_RETRY)));
        self.due = Some(now + self.retry.unwrap_or(AUDIT));
    }
}

/// How often each NIC had to be taken. Pure: told the time.
#[derive(Debug, Default)]
struct Moves(BTreeMap<String, Vec<Instant>>);

impl Moves {
    /// A NIC was taken; returns whether somebody keeps taking it back.
    fn taken(&mut self, nic: &str, now: Instant) -> bool {
        let times = self.0.entry(nic.to_owned()).or_default();
        times.retain(|time| now < *time + CLAIMS_WITHIN);
        times.push(now);
        times.len() >= CLAIMS
    }
}

/// The host side of the router.
#[derive(Debug)]
pub(crate) struct Keeper {
    status: Status,
    desired: Option<DesiredHost>,
    /// The steps of the last attempt, if it failed: the same steps again are not worth telling.
    failed_steps: Vec<Op>,
    retry_not_before: Option<Instant>,
    errors: Vec<HostError>,
    /// What deserves a look although it works; for as long as the same host is desired.
    warnings: Vec<String>,
    moves: Moves,
    pace: Pace,
    /// See [`Keeper::found_in_place`].
    in_place: bool,
}

/// What one attempt did; made on a blocking thread.
struct Attempt {
    steps: Vec<Op>,
    /// `None`: the steps are those that failed a moment ago and were not tried.
    errors: Option<Vec<HostError>>,
    warnings: Vec<String>,
}

impl Keeper {
    /// A keeper that touches nothing until it is told what the host should be.
    pub(crate) fn new(status: Status) -> Self {
        Self {
            status,
            desired: None,
            failed_steps: Vec::new(),
            retry_not_before: None,
            errors: Vec::new(),
            warnings: Vec::new(),
            moves: Moves::default(),
            pace: Pace::default(),
            in_place: false,
        }
    }

    /// Whether the last attempt found a host over which packets passed already.
    pub(crate) fn found_in_place(&self) -> bool {
        self.in_place
    }

    /// What the host should be from here on; effective with the next [`Keeper::converge`].
    pub(crate) fn set(&mut self, desired: DesiredHost) {
        if self.desired.as_ref() != Some(&desired) {
            // A NIC that we give back ourselves and take again is nobody's fight.
            self.moves = Moves::default();
            self.desired = Some(desired);
            self.failed_steps.clear();
            self.warnings.clear();
            self.pace = Pace::default();
        }
    }

    /// Something changed in a namespace that the host side lives in.
    pub(crate) fn kernel_changed(&mut self) {
        if self.desired.is_some() {
            self.pace.kernel_changed(Instant::now());
        }
    }

    /// Waits until the next attempt is due; for ever if none is. Safe to cancel.
    pub(crate) async fn due(&self) {
        match self.pace.due {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Observes, plans, applies. Returns whether anything was changed.
    pub(crate) async fn converge(&mut self) -> bool {
        let Some(desired) = self.desired.clone() else {
            return false;
        };
        let now = Instant::now();
        // Kernel changes bring attempts forward; steps that just failed wait for their time nevertheless.
        let skip = match self.retry_not_before {
            Some(at) if now < at => self.failed_steps.clone(),
            Some(_) | None => Vec::new(),
        };
        let attempt = match tokio::task::spawn_blocking(move || attempt(&desired, &skip)).await {
            Ok(attempt) => attempt,
            Err(error) => {
                tracing::error!(%error, "the host side panicked");
                self.record(Attempt { steps: Vec::new(), errors: Some(Vec::new()), warnings: Vec::new() });
                self.in_place = false;
                return false;
            }
        };
        self.record(attempt)
    }

    /// The host cannot even be looked at.
    pub(crate) fn prevented(&mut self, error: HostError) {
        self.record(Attempt { steps: Vec::new(), errors: Some(vec![error]), warnings: Vec::new() });
    }

    fn record(&mut self, attempt: Attempt) -> bool {
        let now = Instant::now();
        let Attempt { steps, errors, mut warnings } = attempt;
        let untroubled = errors.as_ref().is_some_and(Vec::is_empty);
        self.in_place = untroubled && !steps.iter().any(Op::completes_the_way);
        if let Some(errors) = &errors {
            let failed = |nic: &&str| errors.iter().any(|error| error.object == *nic);
            let nics = steps.iter().filter(|step| matches!(step, Op::MoveNic { .. })).map(Op::object);
            let nics = nics.filter(|nic| !failed(nic));
            warnings.extend(nics.filter(|nic| self.moves.taken(nic, now)).map(claimed));
        }
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.status.note(Level::Warn, None, warning.clone());
                self.warnings.push(warning);
            }
        }
        let Some(errors) = errors else {
            self.pace.due = self.retry_not_before;
            return false;
        };
        let changed = !steps.is_empty();
        if steps != self.failed_steps {
            for step in &steps {
                self.status.note(Level::Info, None, step.to_string());
            }
        }
        for error in errors.iter().filter(|error| !self.errors.contains(error)) {
            self.status.note(Level::Warn, None, error.message.clone());
        }
        for gone in self.errors.iter().filter(|gone| !errors.iter().any(|error| error.object == gone.object)) {
            self.status.note(Level::Info, None, format!("{}: no longer in error", gone.object));
        }
        self.pace.attempted(now, changed, !errors.is_empty());
        self.retry_not_before = self.pace.retry.and(self.pace.due);
        self.failed_steps = if errors.is_empty() { Vec::new() } else { steps };
        self.status.update(|data| {
            data.host_errors.clone_from(&errors);
            data.host_warnings.clone_from(&self.warnings);
        });
        self.errors = errors;
        changed
    }
}

fn attempt(desired: &DesiredHost, skip: &[Op]) -> Attempt {
    let observed = match kernel::host::observe(desired) {
        Ok(observed) => observed,
        Err(error) => return Attempt { steps: Vec::new(), errors: Some(vec![error]), warnings: Vec::new() },
    };
    let steps = kernel::host::plan(desired, &observed);
    let warnings = warnings(desired, &observed);
    if !steps.is_empty() && steps == skip {
        return Attempt { steps, errors: None, warnings };
    }
    let errors = if steps.is_empty() { Vec::new() } else { kernel::host::apply(desired, &steps) };
    Attempt { steps, errors: Some(errors), warnings }
}

/// What deserves a look before and after this host is made.
pub(crate) fn warnings(desired: &DesiredHost, observed: &Observed) -> Vec<String> {
    let cut_off = desired.nics.iter().filter(|nic| observed.carries_default_route(nic)).map(|nic| cuts_off(nic));
    let lifelines = lifeline::read();
    cut_off.chain(carried(desired, observed, &lifelines)).chain(observed.martians.iter().map(martian)).collect()
}

/// Connections that go with the NICs that are about to be taken.
fn carried(desired: &DesiredHost, observed: &Observed, lifelines: &[Lifeline]) -> Vec<String> {
    let nics = observed.host.iter().filter(|link| desired.nics.contains(&link.name));
    let on = |link: &SeenLink| {
        let here: Vec<IpAddr> = link.addresses.iter().map(ipnet::IpNet::addr).collect();
        let name = link.name.clone();
        let carried = lifelines.iter().filter(move |lifeline| here.contains(&lifeline.local));
        carried.map(move |Lifeline { local, what }| {
            format!(
                "NIC {name} has {local}, which {what} uses: it breaks when the router takes the NIC. Use another address of \
                 this node for it, or remove {name} from the Underlay"
            )
        })
    };
    nics.flat_map(on).collect()
}

fn martian(address: &IpAddr) -> String {
    format!(
        "{address} is an address of the host and of a NIC that the router took: the router drops what the host sends from \
         it. Remove it from the host, or have the host's speakers send from another address"
    )
}

fn claimed(nic: &str) -> String {
    format!(
        "NIC {nic} had to be taken {CLAIMS} times within {} minutes: another program gives it back to the host. Keep \
         NetworkManager off it with `nmcli device set {nic} managed no`, or systemd-networkd with `Unmanaged=yes` in the \
         [Link] section of a .network file that matches it",
        CLAIMS_WITHIN.as_secs() / 60
    )
}

fn cuts_off(nic: &str) -> String {
    format!(
        "NIC {nic} carries a default route of the host, which goes away with it: unless the fabric announces another one, \
         this node is cut off. Remove {nic} from the Underlay to have it back"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pace: &Pace, now: Instant) -> Option<Duration> {
        pace.due.map(|due| due - now)
    }

    #[test]
    fn a_burst_of_kernel_changes_is_one_attempt() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.kernel_changed(now);
        pace.kernel_changed(now + DEBOUNCE / 2);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }

    #[test]
    fn failures_are_retried_less_and_less_often_until_one_succeeds() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            pace.attempted(now, false, true);
            waits.push(wait(&pace, now).expect("a retry is due").as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        pace.attempted(now, false, false);
        assert_eq!(wait(&pace, now), Some(AUDIT));
        pace.attempted(now, false, true);
        assert_eq!(wait(&pace, now), Some(FIRST_RETRY));
    }

    #[test]
    fn a_nic_that_is_taken_back_again_and_again_is_noticed() {
        let now = Instant::now();
        let mut moves = Moves::default();
        assert!(!moves.taken("eth1", now));
        assert!(!moves.taken("eth1", now + CLAIMS_WITHIN));
        assert!(!moves.taken("eth2", now + CLAIMS_WITHIN));
        assert!(!moves.taken("eth1", now + CLAIMS_WITHIN + FIGHT));
        assert!(moves.taken("eth1", now + CLAIMS_WITHIN + FIGHT * 2));
    }

    #[test]
    fn a_kernel_change_brings_a_distant_retry_forward() {
        let now = Instant::now();
        let mut pace = Pace::default();
        (0..7).for_each(|_| pace.attempted(now, false, true));
        pace.kernel_changed(now);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }

    #[test]
    fn a_fight_over_the_same_thing_slows_down_and_peace_ends_it() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.attempted(now, true, false);
            pace.kernel_changed(now);
            let wait = wait(&pace, now).expect("an attempt is due");
            waits.push(wait.as_millis());
            now += wait;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        now += LONGEST_PAUSE * 3;
        pace.attempted(now, true, false);
        pace.kernel_changed(now);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }

    #[test]
    fn a_connection_on_a_nic_that_is_to_be_taken_is_named() {
        let desired = DesiredHost {
            namespace: "perouter".into(),
            nics: vec!["eth1".into()],
            veth: None,
            state_dir: "/run/perouter".into(),
        };
        let link = |name: &str, address: &str| SeenLink {
            name: name.into(),
            addresses: vec![address.parse().expect("an address")],
            ..SeenLink::default()
        };
        let host = vec![link("eth0", "10.0.0.5/24"), link("eth1", "192.168.11.3/24")];
        let observed = Observed { host, ..Observed::default() };
        let used = |local: &str| Lifeline { local: local.parse().expect("an address"), what: "an SSH connection" };
        let warnings = carried(&desired, &observed, &[used("10.0.0.5"), used("192.168.11.3")]);
        assert!(matches!(warnings.as_slice(), [one] if one.contains("eth1") && one.contains("SSH")), "{warnings:?}");
    }
}
