//! Two hundred sessions from one listen range.

use std::collections::BTreeMap;

use crate::lab::{Lab, PEER_ASN, everybody, host};
use crate::speaker::Speaker;
use crate::support::wait_until;

const PEERS: u16 = 200;

/// The /24 of a speaker.
fn own(number: u16) -> std::net::Ipv4Addr {
    host(0x1000 + (number << 8))
}

fn start(lab: &Lab, numbers: impl Iterator<Item = u16>) -> Vec<Speaker> {
    let speakers: Vec<Speaker> = numbers.map(|number| Speaker::start(lab, number, PEER_ASN + number, 90)).collect();
    speakers.into_iter().map(Speaker::established).collect()
}

/// By address: the remote end, with its port, of every session that is up.
fn sessions(lab: &Lab) -> BTreeMap<String, String> {
    let up = lab.peers().into_iter().filter(|peer| peer["state"] == "established");
    up.map(|peer| (peer["address"].as_str().unwrap().into(), peer["remote"].as_str().unwrap().into())).collect()
}

/// A range is live: two hundred sessions stay up through reloads that change something unrelated and something of the range
/// itself; half of them flap, the others keep their sessions, those that left come back, and routes of one reach all.
#[test]
fn two_hundred_peers_of_a_range_survive_a_reload_and_a_flap_of_half_of_them() {
    let lab = Lab::new(&everybody(""));
    let mut speakers = start(&lab, 1..=PEERS);
    wait_until("all are up", || lab.established() == usize::from(PEERS));
    let before = sessions(&lab);

    // A network of our own, and a limit of the range: live both.
    let limit = ", maxPrefixes: [{type: ipv4unicast, limit: 5, action: Teardown, restartSeconds: 5}]";
    lab.reload(&format!("{}networks: [10.1.0.0/24]\n", everybody(limit)));
    for speaker in &speakers {
        speaker.wait_for([10, 1, 0, 0].into());
    }
    assert_eq!(sessions(&lab), before, "the very same connections");

    speakers[0].announce(own(1));
    for speaker in &speakers[1..] {
        speaker.wait_for(own(1));
    }
    speakers[0].withdraw(own(1));
    for speaker in &speakers[1..] {
        speaker.wait_gone(own(1));
    }

    // The limit counts for a session that was there before it.
    let greedy = speakers.pop().unwrap();
    (1..=6).for_each(|number| greedy.announce(own(number)));
    wait_until("it is told to go", || greedy.ended().is_some());
    assert_eq!(greedy.ended().unwrap(), format!("notification {:?}", [6, 1, 0, 1, 1, 0, 0, 0, 5]));
    drop(greedy);

    // Half of the rest goes without a word, having announced something each.
    let staying = speakers.split_off(100);
    for speaker in &speakers {
        speaker.announce(own(speaker.number));
    }
    staying[0].wait_for(own(100));
    speakers.into_iter().for_each(Speaker::reset);
    for speaker in &staying {
        (1..=100).for_each(|number| speaker.wait_gone(own(number)));
    }
    let returned = start(&lab, 1..=100);
    for speaker in &returned {
        speaker.announce(own(speaker.number));
    }
    for speaker in staying.iter().chain(&returned) {
        for number in (1..=100).filter(|number| *number != speaker.number) {
            speaker.wait_for(own(number));
        }
    }
    let after = sessions(&lab);
    assert_eq!(after.len(), usize::from(PEERS) - 1);
    for speaker in &staying {
        assert_eq!(speaker.ended(), None);
        let address = host(speaker.number).to_string();
        assert_eq!(after[&address], before[&address], "it kept its connection");
        assert_eq!(after[&address], format!("{address}:{}", speaker.port()));
    }
}
