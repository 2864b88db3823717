//! `perouter clear` and `perouter shutdown`: has something done with peers, and says what was.

use std::io;

use super::out::{Out, Style, clean};
use crate::admin::client::Client;
use crate::admin::model::{Clear, Deed, Ordered, ShutDown, Soft};
use crate::cli::{ClearArgs, Format, Shape, ShutdownArgs, SoftArg};
use crate::exit::{Exit, Failure};

/// Has sessions begun anew, or routes exchanged again; not healthy when some of all peers refused.
///
/// # Errors
/// Those of the client.
pub(crate) async fn clear(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    args: &ClearArgs,
) -> Result<Exit, Failure> {
    let soft = args.soft.map(|soft| match soft {
        SoftArg::In => Soft::In,
        SoftArg::Out => Soft::Out,
        SoftArg::Both => Soft::Both,
    });
    let answer = client.clear(&args.peer, &Clear { soft, message: args.message.clone() }).await?;
    print(out, format, &answer)
}

/// Has a session ended for good.
///
/// # Errors
/// Those of the client.
pub(crate) async fn shut_down(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    args: &ShutdownArgs,
) -> Result<Exit, Failure> {
    let answer = client.shut_down(&args.peer, &ShutDown { message: args.message.clone() }).await?;
    print(out, format, &answer)
}

fn print(out: &mut Out<'_>, format: Format, answer: &[Ordered]) -> Result<Exit, Failure> {
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &answer)?,
        Shape::Text { .. } => lines(out, answer)?,
    }
    Ok(Exit::healthy(answer.iter().all(|one| one.refused.is_none())))
}

/// A line per peer.
fn lines(out: &mut Out<'_>, answer: &[Ordered]) -> io::Result<()> {
    for Ordered { peer, done, refused } in answer {
        let peer = peer.to_string();
        let peer = clean(&peer);
        match refused {
            Some(sentence) => out.styled(Style::Bad, &format!("{peer}: nothing done: {}", clean(sentence)))?,
            None => {
                let done: Vec<_> = done.iter().map(|deed| words(*deed)).collect();
                out.line(&format!("{peer}: {}", done.join(", ")))?;
            }
        }
    }
    Ok(())
}

fn words(deed: Deed) -> &'static str {
    match deed {
        Deed::Reset => "reset",
        Deed::Shutdown => "shut down; `perouter clear` brings it back, as does a restart of the daemon",
        Deed::RefreshIn => "asked to send its routes again",
        Deed::RefreshOut => "being sent our routes again",
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
