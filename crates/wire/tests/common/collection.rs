//! Where the collection lies that the samples of real data were taken from. It is too large for this repository.

use std::path::{Path, PathBuf};

/// Its folder: `data` below `$PEROUTER_SHARED`, or below `shared` beside the source tree. `None`: it is not here, and the
/// samples must do; which is said.
///
/// # Panics
/// Where it has to be there: in CI, and where the variable leads.
pub(crate) fn collection() -> Option<PathBuf> {
    let named = std::env::var_os("PEROUTER_SHARED").map(PathBuf::from);
    let must = named.is_some() || std::env::var_os("CI").is_some();
    let shared = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let data = shared.join("data");
    if data.is_dir() {
        return Some(data);
    }
    assert!(!must, "{} is not there: PEROUTER_SHARED says where the folder is that has data/ in it", data.display());
    #[allow(clippy::print_stderr, reason = "whoever runs the tests ought to know")]
    {
        eprintln!("the samples only: there is no collection in {}", data.display());
    }
    None
}
