//! Many prefixes of one family in the room that the family needs: an `IpNet` is as large as an IPv6 prefix.

use std::ops::Range;

use engine::Family;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Prefixes of one family.
#[derive(Debug)]
pub(super) enum Prefixes {
    V4(Vec<Ipv4Net>),
    V6(Vec<Ipv6Net>),
}

impl Extend<IpNet> for Prefixes {
    /// Those of its family.
    fn extend<I: IntoIterator<Item = IpNet>>(&mut self, prefixes: I) {
        for prefix in prefixes {
            match (&mut *self, prefix) {
                (Self::V4(all), IpNet::V4(prefix)) => all.push(prefix),
                (Self::V6(all), IpNet::V6(prefix)) => all.push(prefix),
                (Self::V4(_), IpNet::V6(_)) | (Self::V6(_), IpNet::V4(_)) => {
                    debug_assert!(false, "{prefix} is of another family");
                }
            }
        }
    }
}

impl Prefixes {
    pub(super) fn none(family: Family) -> Self {
        match family {
            Family::Ipv4Unicast => Self::V4(Vec::new()),
            Family::Ipv6Unicast => Self::V6(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::V4(all) => all.len(),
            Self::V6(all) => all.len(),
        }
    }

    /// Each once, in prefix order, without room for more.
    pub(super) fn sort(&mut self) {
        fn sort<T: Ord>(all: &mut Vec<T>) {
            all.sort_unstable();
            all.dedup();
            all.shrink_to_fit();
        }
        match self {
            Self::V4(all) => sort(all),
            Self::V6(all) => sort(all),
        }
    }

    /// How many of them, once sorted, are not behind `last`.
    pub(super) fn up_to(&self, last: IpNet) -> usize {
        match self {
            Self::V4(all) => all.partition_point(|prefix| IpNet::V4(*prefix) <= last),
            Self::V6(all) => all.partition_point(|prefix| IpNet::V6(*prefix) <= last),
        }
    }

    /// Those with these numbers, as far as there are any.
    pub(super) fn part(&self, range: Range<usize>) -> Vec<IpNet> {
        let numbers = range.start.min(self.len())..range.end.min(self.len());
        match self {
            Self::V4(all) => all.get(numbers).unwrap_or_default().iter().copied().map(IpNet::V4).collect(),
            Self::V6(all) => all.get(numbers).unwrap_or_default().iter().copied().map(IpNet::V6).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_kept_in_order_and_cost_what_their_family_costs() {
        assert_eq!((size_of::<Ipv4Net>(), size_of::<Ipv6Net>()), (5, 17));
        let v4 = ["10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16"];
        let v6 = ["2001:db8::/32", "2001:db8::/48", "2001:db9::/32"];
        for (family, texts) in [(Family::Ipv4Unicast, v4), (Family::Ipv6Unicast, v6)] {
            let nets = texts.map(|text| text.parse::<IpNet>().expect("a prefix"));
            let mut all = Prefixes::none(family);
            all.extend([nets[2], nets[0], nets[1], nets[0]]);
            all.sort();
            assert_eq!(all.len(), 3);
            assert_eq!(all.part(0..9), nets);
            assert_eq!(all.part(1..2), [nets[1]]);
            assert_eq!(all.part(7..9), []);
            assert_eq!(nets.map(|net| all.up_to(net)), [1, 2, 3]);
        }
    }
}
