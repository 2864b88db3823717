//! Network namespaces, held by descriptor and by a bind mount in /var/run/netns.
//!
//! A namespace lives as long as something refers to it: a process in it, a descriptor, a mount. The mount gives it
//! a name that `ip netns` understands and keeps it, with its routes, over a restart of the daemon. Layout and
//! order are those of `ip netns add`: the directory is a shared mount point, so that the mount reaches every
//! mount namespace that the host shares it with; in it an empty file per name, and the namespace mounted on it.
//!
//! A crash between the two leaves a plain file without a mount: [`Namespace::open`] says that there is no
//! namespace of that name, [`Namespace::ensure`] mounts over it.
//!
//! The calling thread never changes its namespace: what has to happen in another one happens on a throw-away thread.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::LinkNameSpaceType;

use crate::link;
use crate::netlink::Socket;
use crate::sys;

/// Where `ip netns` keeps its names.
const DIRECTORY: &str = "/var/run/netns";
/// What a thread sees its own namespace as.
const OWN: &str = "/proc/thread-self/ns/net";
/// `statfs` type of a namespace file (`NSFS_MAGIC` of `linux/magic.h`).
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// A network namespace, held open. Cheap to clone (shared descriptor).
#[derive(Clone, Debug)]
pub struct Namespace {
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// The namespace of the calling thread.
    pub fn current() -> io::Result<Self> {
        Ok(Self { fd: Arc::new(File::open(OWN)?.into()) })
    }

    /// A new one without a name; it ends with the last clone and the last socket in it. `lo` is up.
    pub fn create() -> io::Result<Self> {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    sys::unshare_network()?;
                    let namespace = Self::current()?;
                    link::set_up(&mut Socket::open()?, "lo")?;
                    Ok(namespace)
                })
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that makes the namespace died")))
        })
    }

    /// The namespace bound to this name; `Ok(None)` when there is none.
    pub fn open(name: &str) -> io::Result<Option<Self>> {
        let file = match File::open(path(name)?) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The leftover of a crash, or of an unmount by hand, is a plain file.
        let is_namespace = rustix::fs::fstatfs(&file)?.f_type == NSFS_MAGIC;
        Ok(is_namespace.then(|| Self { fd: Arc::new(file.into()) }))
    }

    /// Opens it, or creates and binds it with `lo` up. The flag says whether it was created.
    pub fn ensure(name: &str) -> io::Result<(Self, bool)> {
        if let Some(namespace) = Self::open(name)? {
            namespace.with_socket(|socket| link::set_up(socket, "lo"))?;
            return Ok((namespace, false));
        }
        let path = path(name)?;
        share_directory()?;
        OpenOptions::new().create(true).append(true).open(&path)?;
        let namespace = Self::create()?;
        namespace.bind(path)?;
        Ok((namespace, true))
    }

    /// Gives this namespace its name back, which somebody removed. `Ok(false)`: the name has a namespace already,
    /// this one or another.
    pub fn rebind(&self, name: &str) -> io::Result<bool> {
        if Self::open(name)?.is_some() {
            return Ok(false);
        }
        let path = path(name)?;
        share_directory()?;
        OpenOptions::new().create(true).append(true).open(&path)?;
        self.bind(path)?;
        Ok(true)
    }

    /// Mounts the namespace on `path`. The source must be a path, and only a thread inside has one that does not
    /// depend on how descriptors are shown in /proc.
    fn bind(&self, path: PathBuf) -> io::Result<()> {
        self.run(move || rustix::mount::mount_bind(OWN, &path).map_err(io::Error::from))?
    }

    /// Removes the name; the namespace ends with its last user. Fine when there is none.
    pub fn unbind(name: &str) -> io::Result<()> {
        let path = path(name)?;
        loop {
            match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
                // Mounts can be stacked on one name: all of them go.
                Ok(()) => {}
                // Not a mount point, or not there.
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => return Err(error.into()),
            }
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Runs `f` inside the namespace and returns what it returns: at once where the calling thread is inside already, else on a
    /// fresh thread, which ends with it. `f` must leave its thread as it is. Sockets opened in `f` belong to the namespace for
    /// ever. A panic on the fresh thread is an error here.
    pub fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        // A thread takes longer to make than most of what is done here. Where /proc does not say it, it is made.
        if self.is_here().unwrap_or(false) {
            return Ok(f());
        }
        let fd = Arc::clone(&self.fd);
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                rustix::thread::move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(f())
            })?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
    }

    /// Whether both are the same namespace, however each was opened.
    pub fn same_as(&self, other: &Self) -> io::Result<bool> {
        Ok(self.id()? == other.id()?)
    }

    /// Device and inode of the namespace: unique as long as it lives.
    pub fn id(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Whether the calling thread is inside.
    fn is_here(&self) -> io::Result<bool> {
        let here = rustix::fs::stat(OWN)?;
        Ok(self.id()? == (here.st_dev, here.st_ino))
    }

    /// A netlink socket inside.
    pub(crate) fn socket(&self) -> io::Result<Socket> {
        self.run(Socket::open)?
    }

    fn with_socket<T>(&self, f: impl FnOnce(&mut Socket) -> io::Result<T>) -> io::Result<T> {
        f(&mut self.socket()?)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The file of a name. A name is one path component, as for `ip netns`.
fn path(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) || name.len() > 255 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("\"{name}\" is no name for a network namespace: it must be one file name without a slash"),
        ));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// Makes the directory a shared mount point, so that later mounts in it are seen by every mount namespace that
/// has it (containers with propagation, `ip netns exec`), and unmounts as well.
fn share_directory() -> io::Result<()> {
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    fs::create_dir_all(DIRECTORY)?;
    match rustix::mount::mount_change(DIRECTORY, shared) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => {
            // Not a mount point yet.
            rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            Ok(rustix::mount::mount_change(DIRECTORY, shared)?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_path_component() {
        for bad in ["", ".", "..", "a/b", "/etc", "a\0b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(path("perouter").unwrap(), Path::new("/var/run/netns/perouter"));
    }
}
