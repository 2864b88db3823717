//! The process's heap.

use crate::sys;

/// Has all threads share the one heap that grows like that of a program with one thread. To be called before there are others.
///
/// glibc gives each thread a heap of its own, which grows by system calls of a page each: a thread that takes in a full table
/// spends a fifth of its time on that. Here one thread does nearly all that allocates; small pieces of the others come from the
/// caches that each thread has beside the heap, so that they seldom wait for its lock. A listing does while it is made.
/// Does nothing where the C library is another one.
pub fn share_one_heap() {
    sys::one_malloc_arena();
}
