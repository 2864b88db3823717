//! Keeps the host as it should be: observe, plan, apply, and again when something changed.
//!
//! Owns: the desired host and the pace of attempts. Is told: a new desired host, and that the kernel changed.
//! Emits: each step and each distinct error once as an event, the errors of the last attempt to the [`Status`].
//! Does not: decide what the host should be (`config` does), nor how to get there (`kernel::host` does).
//!
//! The same loop serves the first start, a reload, a NIC that was plugged in, and a stranger who changes what is
//! ours; they differ in what is observed, not in what is done.

mod pace;
mod repairs;

use std::net::IpAddr;

use engine::Level;
use kernel::host::{DesiredHost, HostError, Observed, Op, SeenLink};
use tokio::time::Instant;

use crate::lifeline::{self, Lifeline};
use crate::status::Status;
use pace::Pace;
use repairs::{Repairs, Telling, fought};

/// Steps that somebody keeps undoing.
#[derive(Debug)]
struct Fight {
    steps: Vec<String>,
    text: String,
}

/// The host side of the router.
#[derive(Debug)]
pub(crate) struct Keeper {
    status: Status,
    desired: Option<DesiredHost>,
    /// The steps of the last attempt, if it failed: the same steps again are not tried before their time.
    failed_steps: Vec<Op>,
    retry_not_before: Option<Instant>,
    errors: Vec<HostError>,
    /// What deserves a look although it works; for as long as the same host is desired.
    warnings: Vec<String>,
    /// It was tried once: what is to be done again is a repair.
    made: bool,
    repairs: Repairs,
    fights: Vec<Fight>,
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
            made: false,
            repairs: Repairs::default(),
            fights: Vec::new(),
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
            // What we undo ourselves and do again is nobody's fight.
            self.made = false;
            self.repairs = Repairs::default();
            self.fights.clear();
            self.desired = Some(desired);
            self.failed_steps.clear();
            self.warnings.clear();
            self.pace = Pace::default();
            self.status.update(|data| {
                data.nics = self.desired.as_ref().map(|desired| desired.nics.clone()).unwrap_or_default();
            });
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
        let Attempt { steps, errors, warnings } = attempt;
        let untroubled = errors.as_ref().is_some_and(Vec::is_empty);
        self.in_place = untroubled && !steps.iter().any(Op::completes_the_way);
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
        // What could not be done is told with the error.
        let failed = |step: &Op| errors.iter().any(|error| error.step.as_ref() == Some(step));
        let done: Vec<&Op> = steps.iter().filter(|step| !failed(step)).collect();
        let repaired = if self.made { done.len() as u64 } else { 0 };
        self.tell_done(&done, now);
        for error in errors.iter().filter(|error| !self.errors.contains(error)) {
            self.status.note(Level::Warn, error.object.as_str(), error.message.clone());
        }
        for gone in self.errors.iter().filter(|gone| !errors.iter().any(|error| error.object == gone.object)) {
            let text = format!("{}: no longer in error", gone.object);
            self.status.note(Level::Info, gone.object.as_str(), text);
        }
        self.pace.attempted(now, !done.is_empty(), !errors.is_empty());
        self.retry_not_before = self.pace.retry.and(self.pace.due);
        let changed = !steps.is_empty();
        self.failed_steps = if errors.is_empty() { Vec::new() } else { steps };
        self.status.update(|data| {
            data.tallies.host_repairs += repaired;
            let tally = match (errors.is_empty(), changed) {
                (false, _) => &mut data.tallies.host_failed,
                (true, true) => &mut data.tallies.host_changed,
                (true, false) => &mut data.tallies.host_untouched,
            };
            *tally += 1;
            data.host_errors.clone_from(&errors);
            data.host_warnings =
                self.warnings.iter().chain(self.fights.iter().map(|fight| &fight.text)).cloned().collect();
        });
        self.errors = errors;
        changed
    }

    /// Tells each step, and of one that is done again and again only that.
    fn tell_done(&mut self, done: &[&Op], now: Instant) {
        let mut undone = Vec::new();
        for step in done {
            let telling = if self.made { self.repairs.done(step.to_string(), now) } else { Telling::Done };
            match telling {
                Telling::Done => self.status.note(Level::Info, step.object(), step.to_string()),
                Telling::Undone => undone.push(*step),
                Telling::Nothing => {}
            }
        }
        if let Some(first) = undone.first() {
            let text = fought(&undone);
            self.status.note(Level::Warn, first.object(), text.clone());
            self.fights.push(Fight { steps: undone.iter().map(ToString::to_string).collect(), text });
        }
        self.made = true;
        let repairs = &mut self.repairs;
        repairs.expire(now);
        self.fights.retain(|fight| fight.steps.iter().any(|step| repairs.is_undone(step, now)));
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

fn cuts_off(nic: &str) -> String {
    format!(
        "NIC {nic} carries a default route of the host, which goes away with it: unless the fabric announces another one, \
         this node is cut off. Remove {nic} from the Underlay to have it back"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::host::Missing;

    use super::repairs::UNDONE_WITHIN;
    use super::*;

    fn attempt_of(steps: Vec<Op>, errors: Vec<HostError>) -> Attempt {
        Attempt { steps, errors: Some(errors), warnings: Vec::new() }
    }

    fn told(status: &Status) -> Vec<String> {
        status.journal().newest(usize::MAX).events.into_iter().map(|event| event.text).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fight_is_one_warning_that_ends_with_it() {
        let status = Status::new(crate::status::Mode::Run);
        let mut keeper = Keeper::new(status.clone());
        let steps =
            || ["a", "b"].map(|key| Op::SetSysctl { key: key.into(), value: "1".into(), optional: false }).to_vec();
        for _ in 0..9 {
            keeper.record(attempt_of(steps(), vec![]));
        }
        let texts = told(&status);
        // Made, repaired twice, and then one warning of both.
        assert_eq!(texts.len(), 7, "{texts:?}");
        assert!(texts[6].contains("set sysctl a to 1 in the router's namespace and 1 more"), "{texts:?}");
        assert_eq!(status.read().host_warnings, texts[6..]);
        tokio::time::advance(UNDONE_WITHIN).await;
        keeper.record(attempt_of(vec![], vec![]));
        assert_eq!(status.read().host_warnings, [""; 0]);
        assert_eq!(told(&status).len(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nic_that_is_waited_for_does_not_slow_other_repairs_down_and_is_told_once() {
        let status = Status::new(crate::status::Mode::Run);
        let mut keeper = Keeper::new(status.clone());
        let wait = || Op::AwaitNic { nic: "eth1".into(), missing: Missing::Gone };
        let missing = || HostError { step: Some(wait()), ..HostError::said("eth1", "NIC eth1 is not there") };
        for _ in 0..5 {
            keeper.record(attempt_of(vec![wait()], vec![missing()]));
        }
        assert_eq!(told(&status), ["NIC eth1 is not there"]);
        assert_eq!(keeper.pace.pause, Duration::ZERO);
        keeper.record(attempt_of(vec![], vec![]));
        assert_eq!(told(&status)[1..], ["eth1: no longer in error"]);
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
