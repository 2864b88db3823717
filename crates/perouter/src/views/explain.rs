//! `perouter explain`: where a packet goes, step by step, and whether the answer comes back.

use std::io;

use super::out::{Out, Style, clean};
use super::table::Cell;
use crate::admin::client::Client;
use crate::admin::model::{Explanation, Route, Side, Step, Walk};
use crate::cli::{ExplainArgs, Format, Shape, SideArg};
use crate::exit::{Exit, Failure};

/// Asks and prints; not healthy when the packet or its answer is lost.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    args: &ExplainArgs,
) -> Result<Exit, Failure> {
    let from = match args.from {
        SideArg::Host => Side::Host,
        SideArg::Fabric => Side::Fabric,
    };
    let explanation = client.explain(args.address, from, args.source).await?;
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &explanation)?,
        Shape::Text { .. } => print(out, &explanation)?,
    }
    Ok(Exit::healthy(explanation.good))
}

fn print(out: &mut Out<'_>, explanation: &Explanation) -> io::Result<()> {
    let Explanation { address, from, source, good, verdicts, walk, back, route, announced } = explanation;
    let from = match from {
        Side::Host => "the host",
        Side::Fabric => "the fabric",
    };
    let source = source.map(|source| format!(", source {source}")).unwrap_or_default();
    out.line(&format!("{address} from {from}{source}"))?;
    for verdict in verdicts {
        let style = if *good { Style::Good } else { Style::Bad };
        out.styled(style, &format!("  {}", clean(verdict)))?;
    }
    out.line("\nThe packet")?;
    steps(out, walk)?;
    if let Some(back) = back {
        out.line("\nThe answer")?;
        steps(out, back)?;
    }
    out.line("\nBGP")?;
    match route {
        Some(route) => out.line(&format!("  {}", clean(&known(route))))?,
        None => out.line(&format!("  nobody announces a route to {address}"))?,
    }
    if let Some(announced) = announced {
        let to: Vec<_> = announced.to.iter().map(ToString::to_string).collect();
        let to = if to.is_empty() { "no fabric peer".to_owned() } else { to.join(", ") };
        out.line(&format!("  {}, the way back, is told to {}", announced.prefix, clean(&to)))?;
    }
    Ok(())
}

fn steps(out: &mut Out<'_>, walk: &Walk) -> io::Result<()> {
    for (index, step) in walk.steps.iter().enumerate() {
        let input = step.input.as_ref().map(|link| format!(", in through {link}")).unwrap_or_default();
        let place = format!("  {}. {}{input}", index + 1, step.place.name());
        out.line(&clean(&place))?;
        for fact in facts(step) {
            out.line(&format!("     {}", fact.render(out.colour())))?;
        }
    }
    Ok(())
}

fn facts(step: &Step) -> Vec<Cell> {
    let mut facts = Vec::new();
    if let Some(rule) = &step.rule {
        facts.push(Cell::from(format!("rule      {rule}")));
    }
    if let Some(route) = step.route {
        let protocol = step.protocol.as_deref().unwrap_or("?");
        let metric = step.metric.filter(|metric| *metric > 0).map(|metric| format!(", metric {metric}"));
        facts.push(Cell::from(format!("route     {route} ({protocol}{})", metric.unwrap_or_default())));
    }
    let dropped = step.link.is_none() && step.fate.starts_with("dropped");
    let style = if dropped { Style::Bad } else { Style::Plain };
    facts.push(Cell::styled(style, format!("next      {}", step.fate)));
    if step.link.is_some() {
        let unknown = "not known yet: it is asked for with the first packet";
        let neighbor = step.neighbor.as_deref().unwrap_or(unknown);
        let style = if neighbor.contains("FAILED") { Style::Bad } else { Style::Plain };
        facts.push(Cell::styled(style, format!("neighbor  {neighbor}")));
    }
    facts
}

/// The best path and what decided.
fn known(route: &Route) -> String {
    let best = route.paths.iter().find(|path| path.best);
    let Some(best) = best else {
        return format!("{}: no path is usable; `perouter routes {}` says why", route.prefix, route.prefix);
    };
    let from = best.from.as_ref().map_or_else(|| "this router".to_owned(), ToString::to_string);
    format!("{}: best path from {from}: {}", route.prefix, best.reason)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{printed, reference, route};
    use super::*;
    use crate::admin::model::{Announced, Place};

    fn step(place: Place, input: Option<&str>, link: &str, neighbor: Option<&str>) -> Step {
        Step {
            place,
            input: input.map(str::to_owned),
            rule: Some("32766: from all lookup main".to_owned()),
            route: Some("10.1.0.0/16".parse().unwrap()),
            protocol: Some("perouter".to_owned()),
            metric: Some(20),
            next_hop: Some("192.168.11.2".parse().unwrap()),
            link: Some(link.to_owned()),
            neighbor: neighbor.map(str::to_owned),
            fate: format!("to 192.168.11.2 through {link}"),
        }
    }

    #[test]
    fn a_walk_shows_every_lookup_and_the_answer() {
        let walk = Walk {
            steps: vec![
                step(Place::Host, None, "pt-host", None),
                step(Place::Router, Some("pt-ns"), "eth1", Some("02:00:00:00:00:01 REACHABLE")),
            ],
            good: true,
            end: "it leaves to the fabric through eth1".to_owned(),
        };
        let explanation = Explanation {
            address: "10.1.2.3".parse().unwrap(),
            from: Side::Host,
            source: Some("192.169.10.2".parse().unwrap()),
            good: true,
            verdicts: vec![walk.end.clone()],
            back: Some(Walk { steps: vec![walk.steps[0].clone()], ..walk.clone() }),
            walk,
            route: Some(route()),
            announced: Some(Announced {
                prefix: "192.169.10.2/32".parse().unwrap(),
                to: vec![reference("leaf", "192.168.11.2")],
            }),
        };
        assert_eq!(
            printed(|out| print(out, &explanation)),
            "\
10.1.2.3 from the host, source 192.169.10.2
  it leaves to the fabric through eth1

The packet
  1. host
     rule      32766: from all lookup main
     route     10.1.0.0/16 (perouter, metric 20)
     next      to 192.168.11.2 through pt-host
     neighbor  not known yet: it is asked for with the first packet
  2. router, in through pt-ns
     rule      32766: from all lookup main
     route     10.1.0.0/16 (perouter, metric 20)
     next      to 192.168.11.2 through eth1
     neighbor  02:00:00:00:00:01 REACHABLE

The answer
  1. host
     rule      32766: from all lookup main
     route     10.1.0.0/16 (perouter, metric 20)
     next      to 192.168.11.2 through pt-host
     neighbor  not known yet: it is asked for with the first packet

BGP
  10.1.0.0/16: best path from fabric (192.168.11.2): shorter AS path
  192.169.10.2/32, the way back, is told to leaf (192.168.11.2)
"
        );
    }
}
