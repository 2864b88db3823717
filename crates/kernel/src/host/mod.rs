//! The host side of passthrough: namespace, NICs, veth pair, addresses, sysctls. Observe, plan, apply.
use ipnet::IpNet;

/// What the node should look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredHost {
    /// Name of the router's namespace.
    pub namespace: String,
    /// NICs that belong into it.
    pub nics: Vec<String>,
    /// The veth pair that joins it to the host.
    pub veth: Option<DesiredVeth>,
}
/// The veth pair between host and router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredVeth {
    /// Name of the host's end.
    pub host_name: String,
    /// Name of the router's end.
    pub ns_name: String,
    /// Addresses of the host's end.
    pub host_addresses: Vec<IpNet>,
    /// Addresses of the router's end.
    pub ns_addresses: Vec<IpNet>,
}
/// One step from what is to what should be. `Display` is the sentence that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {}
/// What is, as far as it matters for [`DesiredHost`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {}
/// A step that failed, in words that name the object, the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError {
    /// The object: a link, namespace, address or sysctl.
    pub object: String,
    /// The sentence.
    pub message: String,
}
/// Reads what is there. `Err` only when the kernel cannot be asked at all.
pub fn observe(_desired: &DesiredHost) -> Result<Observed, HostError> {
    todo!()
}
/// What is to be done, in order; empty when everything is as it should be. Pure.
pub fn plan(_desired: &DesiredHost, _observed: &Observed) -> Vec<Op> {
    todo!()
}
/// Does it; goes on after a failure where the rest does not depend on it, and collects every error.
pub fn apply(_desired: &DesiredHost, _ops: &[Op]) -> Vec<HostError> {
    todo!()
}
/// What removes everything that we made in and for this namespace and gives the NICs back.
pub fn teardown(_namespace: &str) -> Vec<HostError> {
    todo!()
}
