//! Network namespaces, held by descriptor and by a bind mount in /var/run/netns.
use std::io;

/// A network namespace, held open. Cheap to clone (shared descriptor).
#[derive(Clone, Debug)]
pub struct Namespace {}

impl Namespace {
    /// The namespace of the calling thread.
    pub fn current() -> io::Result<Self> { todo!() }
    /// The namespace bound to this name; `Ok(None)` when there is none.
    pub fn open(_name: &str) -> io::Result<Option<Self>> { todo!() }
    /// Opens it, or creates and binds it with `lo` up. The flag says whether it was created.
    pub fn ensure(_name: &str) -> io::Result<(Self, bool)> { todo!() }
    /// Removes the name; the namespace ends with its last user. Fine when there is none.
    pub fn unbind(_name: &str) -> io::Result<()> { todo!() }
    /// Runs `f` on a fresh thread inside the namespace and returns what it returns; the thread ends with it.
    /// Sockets opened in `f` belong to the namespace for ever.
    pub fn run<T: Send + 'static>(&self, _f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> { todo!() }
}
