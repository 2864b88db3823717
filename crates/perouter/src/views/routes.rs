//! `perouter routes`: listings page by page, or one destination with all its paths and why each won or lost.

use std::io;

use super::out::{Out, Style, clean};
use super::peers::print_facts;
use super::table::{Cell, Table, number, text};
use super::{count, or_dash};
use crate::admin::client::{Client, RoutesQuestion};
use crate::admin::find_peer;
use crate::admin::model::{Family, Kernel, Path, Peer, PeerRef, Route, Withheld};
use crate::cli::{FamilyArg, Format, Notation, RoutesArgs, Shape, Target};
use crate::exit::{Exit, Failure};

/// Asks and prints; not healthy when there is no route to what was asked for.
///
/// # Errors
/// [`Failure::Usage`] for an unknown peer or a family that is not the target's; else those of the client.
pub(crate) async fn run(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    args: &RoutesArgs,
) -> Result<Exit, Failure> {
    let question = question(args)?;
    if let Some(wanted) = question.received.as_ref().or(question.advertised.as_ref()) {
        let known: Vec<_> = client.peers().await?.iter().map(Peer::reference).collect();
        find_peer(wanted, &known)?;
    }
    match args.target {
        Some(target) => one(client, out, format, question, target).await,
        None => listing(client, out, format, question).await,
    }
}

fn question(args: &RoutesArgs) -> Result<RoutesQuestion, Failure> {
    let prefix = args.target.map(Target::prefix);
    let family = args.family.map(|family| match family {
        FamilyArg::Ipv4 => Family::Ipv4Unicast,
        FamilyArg::Ipv6 => Family::Ipv6Unicast,
    });
    if let (Some(prefix), Some(family)) = (prefix, family) {
        let of_prefix = if prefix.addr().is_ipv4() { Family::Ipv4Unicast } else { Family::Ipv6Unicast };
        if family != of_prefix {
            return Err(Failure::Usage(format!("{prefix} is not {}; leave --family away", family.short())));
        }
    }
    Ok(RoutesQuestion {
        family,
        prefix,
        longest: args.longest || matches!(args.target, Some(Target::Address(_))),
        received: args.received.clone(),
        advertised: args.advertised.clone(),
        after: None,
    })
}

/// One destination. Without exactly the wanted prefix the longest match is what traffic to it would take.
async fn one(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    mut question: RoutesQuestion,
    target: Target,
) -> Result<Exit, Failure> {
    let mut routes = client.routes(&question).await?.routes;
    let mut fell_back = false;
    if routes.is_empty() && !question.longest {
        question.longest = true;
        fell_back = true;
        routes = client.routes(&question).await?.routes;
    }
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &routes)?,
        Shape::Text { .. } => {
            let place = among(&question);
            match routes.first() {
                None => out.line(&format!("no route to {}{place}", wanted(target)))?,
                Some(route) => {
                    if fell_back {
                        let sentence = "no route to exactly this prefix; the longest match is shown";
                        out.styled(Style::Warn, &format!("{}: {sentence}", wanted(target)))?;
                    }
                    detail(out, route, &question)?;
                }
            }
        }
    }
    Ok(Exit::healthy(!routes.is_empty()))
}

fn wanted(target: Target) -> String {
    match target {
        Target::Address(prefix) => prefix.addr().to_string(),
        Target::Prefix(prefix) => prefix.to_string(),
    }
}

/// Whose routes were asked for, for the end of a sentence.
fn among(question: &RoutesQuestion) -> String {
    match (&question.received, &question.advertised) {
        (Some(peer), _) => format!(" among those received from {peer}"),
        (None, Some(peer)) => format!(" among those advertised to {peer}"),
        (None, None) => String::new(),
    }
}

/// All pages. Each is printed before the next one is asked for, so that a full table needs no memory here.
async fn listing(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    mut question: RoutesQuestion,
) -> Result<Exit, Failure> {
    let mut sink = Sink::new(format, &question);
    loop {
        let page = client.routes(&question).await?;
        sink.page(out, &page.routes)?;
        match page.next {
            Some(next) => question.after = Some(next),
            None => break,
        }
    }
    sink.end(out)?;
    Ok(Exit::Fine)
}

/// What the marks before a prefix mean.
const LEGEND: &str = "* usable  > best  = used with the best";

/// A listing in the making.
enum Sink {
    /// A JSON array, one route per line.
    Json { empty: bool },
    /// A YAML sequence.
    Yaml { empty: bool },
    /// The router's routes, or those received from a peer.
    Paths { table: Table<10>, empty: bool, among: String },
    /// The same with what else is known of each path.
    WidePaths { table: Table<14>, empty: bool, among: String },
    /// Routes as they are sent.
    Sent { table: Table<8>, empty: bool, among: String },
}

impl Sink {
    fn new(format: Format, question: &RoutesQuestion) -> Self {
        let among = among(question);
        match format.shape() {
            Shape::Value(Notation::Json) => Self::Json { empty: true },
            Shape::Value(Notation::Yaml) => Self::Yaml { empty: true },
            Shape::Text { .. } if question.advertised.is_some() => {
                let columns = [
                    text("PREFIX"),
                    text("NEXT HOP"),
                    text("AS PATH"),
                    text("ORIGIN"),
                    number("MED"),
                    number("LOCAL-PREF"),
                    text("COMMUNITIES"),
                    text("REMARK"),
                ];
                Self::Sent { table: Table::new(0, columns), empty: true, among }
            }
            Shape::Text { wide: true } => {
                let columns = [
                    text(""),
                    text("PREFIX"),
                    text("NEXT HOP"),
                    text("LINK"),
                    text("FROM"),
                    text("ADDRESS"),
                    number("PATH ID"),
                    text("AS PATH"),
                    text("ORIGIN"),
                    number("MED"),
                    number("LOCAL-PREF"),
                    text("COMMUNITIES"),
                    text("KERNEL"),
                    text("REASON"),
                ];
                Self::WidePaths { table: Table::new(0, columns), empty: true, among }
            }
            Shape::Text { wide: false } => {
                let columns = [
                    text(""),
                    text("PREFIX"),
                    text("NEXT HOP"),
                    text("LINK"),
                    text("FROM"),
                    text("AS PATH"),
                    text("ORIGIN"),
                    number("MED"),
                    number("LOCAL-PREF"),
                    text("REASON"),
                ];
                Self::Paths { table: Table::new(0, columns), empty: true, among }
            }
        }
    }

    fn page(&mut self, out: &mut Out<'_>, routes: &[Route]) -> io::Result<()> {
        let paths = routes.iter().flat_map(|route| route.paths.iter().map(move |path| (route, path)));
        match self {
            Self::Json { empty } => {
                for route in routes {
                    out.json_item(if *empty { "[\n" } else { ",\n" }, route)?;
                    *empty = false;
                }
                Ok(())
            }
            Self::Yaml { empty } => {
                *empty &= routes.is_empty();
                routes.iter().try_for_each(|route| out.yaml_item(route))
            }
            Self::WidePaths { table, empty, .. } => {
                if routes.is_empty() {
                    return Ok(());
                }
                if std::mem::take(empty) {
                    out.line(LEGEND)?;
                }
                paths.for_each(|(route, path)| table.row(wide_row(route, path)));
                table.print(out)
            }
            Self::Paths { table, empty, .. } => {
                if routes.is_empty() {
                    return Ok(());
                }
                if std::mem::take(empty) {
                    out.line(LEGEND)?;
                }
                paths.for_each(|(route, path)| table.row(path_row(route, path)));
                table.print(out)
            }
            Self::Sent { table, empty, .. } => {
                if routes.is_empty() {
                    return Ok(());
                }
                *empty = false;
                paths.for_each(|(route, path)| table.row(sent_row(route, path)));
                table.print(out)
            }
        }
    }

    fn end(self, out: &mut Out<'_>) -> io::Result<()> {
        match self {
            Self::Json { empty } => out.line(if empty { "[]" } else { "\n]" }),
            Self::Yaml { empty } => {
                if empty {
                    out.line("[]")
                } else {
                    Ok(())
                }
            }
            Self::Paths { empty, among, .. }
            | Self::WidePaths { empty, among, .. }
            | Self::Sent { empty, among, .. }
                if empty =>
            {
                out.line(&format!("no routes{}", clean(&among)))
            }
            Self::Paths { .. } | Self::WidePaths { .. } | Self::Sent { .. } => Ok(()),
        }
    }
}

fn path_row(route: &Route, path: &Path) -> [Cell; 10] {
    [
        Cell::from(markers(path)),
        Cell::from(route.prefix.to_string()),
        Cell::from(or_dash(path.next_hop)),
        Cell::from(or_dash(path.link.as_ref())),
        Cell::from(from(path)),
        Cell::from(&path.as_path),
        Cell::from(&path.origin),
        Cell::from(or_dash(path.med)),
        Cell::from(or_dash(path.local_pref)),
        Cell::from(if path.stale { format!("stale; {}", path.reason) } else { path.reason.clone() }),
    ]
}

fn wide_row(route: &Route, path: &Path) -> [Cell; 14] {
    let [marks, prefix, next_hop, link, from, as_path, origin, med, local_pref, reason] = path_row(route, path);
    let kernel = match route.kernel {
        Kernel::Installed => "installed",
        Kernel::NotInstalled => "missing",
        Kernel::NotWanted => "-",
    };
    [
        marks,
        prefix,
        next_hop,
        link,
        from,
        Cell::from(or_dash(path.from.as_ref().map(|peer| peer.address))),
        Cell::from(or_dash(path.path_id)),
        as_path,
        origin,
        med,
        local_pref,
        Cell::from(path.communities.join(" ")),
        Cell::from(kernel),
        reason,
    ]
}

fn sent_row(route: &Route, path: &Path) -> [Cell; 8] {
    [
        Cell::from(route.prefix.to_string()),
        Cell::from(or_dash(path.next_hop)),
        Cell::from(&path.as_path),
        Cell::from(&path.origin),
        Cell::from(or_dash(path.med)),
        Cell::from(or_dash(path.local_pref)),
        Cell::from(path.communities.join(" ")),
        Cell::from(&path.reason),
    ]
}

fn markers(path: &Path) -> String {
    let usable = if path.usable { '*' } else { ' ' };
    let rank = match (path.best, path.multipath) {
        (true, _) => '>',
        (false, true) => '=',
        (false, false) => ' ',
    };
    format!("{usable}{rank}")
}

/// The peer's name where it has one: tables have no room for both.
fn from(path: &Path) -> String {
    match &path.from {
        None => "local".to_owned(),
        Some(peer) if peer.name.is_empty() => peer.address.to_string(),
        Some(peer) => peer.name.clone(),
    }
}

/// One destination: every path with its fate, the kernel's state, and who gets it.
fn detail(out: &mut Out<'_>, route: &Route, question: &RoutesQuestion) -> io::Result<()> {
    if question.advertised.is_some() {
        out.line(&format!("{}, as it is sent", route.prefix))?;
    } else {
        out.line(&format!("{}: {}", route.prefix, count(route.paths.len(), "path")))?;
        let kernel = match route.kernel {
            Kernel::Installed => Cell::styled(Style::Good, "installed"),
            Kernel::NotInstalled => match &route.kernel_error {
                Some(error) => Cell::styled(Style::Bad, format!("refused: {error}")),
                None => Cell::styled(Style::Warn, "not installed yet"),
            },
            Kernel::NotWanted => Cell::from("not meant to be installed"),
        };
        print_facts(out, 2, vec![("kernel", kernel), ("advertised to", Cell::from(peers(&route.advertised_to)))])?;
    }
    if !route.withheld.is_empty() {
        out.line("\n  not advertised to")?;
        let name = |one: &Withheld| one.peer.to_string();
        let width = route.withheld.iter().map(|one| name(one).chars().count()).max().unwrap_or_default();
        for one in &route.withheld {
            let line = format!("    {:width$}  {}", clean(&name(one)), clean(&one.reason));
            out.line(&line)?;
        }
    }
    for (index, path) in route.paths.iter().enumerate() {
        out.line("")?;
        if question.advertised.is_none() {
            let fate = match (path.best, path.multipath) {
                (true, _) => "best",
                (false, true) => "used with the best",
                (false, false) if path.usable => "not used",
                (false, false) => "not usable",
            };
            let fate = if path.stale { format!("{fate}, stale") } else { fate.to_owned() };
            let because = if path.reason.is_empty() { String::new() } else { format!(": {}", path.reason) };
            let style = if path.best || path.multipath { Style::Good } else { Style::Plain };
            out.styled(style, &format!("  path {}, {fate}{}", index + 1, clean(&because)))?;
        }
        let via = path.link.as_ref().map(|link| format!(" through {link}")).unwrap_or_default();
        let mut facts = Vec::new();
        if question.advertised.is_none() {
            let from = path.from.as_ref().map_or_else(|| "this router".to_owned(), ToString::to_string);
            facts.push(("from", Cell::from(from)));
        }
        if let Some(id) = path.path_id {
            facts.push(("path id", Cell::from(id.to_string())));
        }
        let as_path = if path.as_path.is_empty() { "(empty)" } else { &path.as_path };
        facts.push(("next hop", Cell::from(format!("{}{via}", or_dash(path.next_hop)))));
        facts.push(("AS path", Cell::from(as_path)));
        facts.push(("origin", Cell::from(&path.origin)));
        if let Some(med) = path.med {
            facts.push(("MED", Cell::from(med.to_string())));
        }
        if let Some(preference) = path.local_pref {
            facts.push(("local-pref", Cell::from(preference.to_string())));
        }
        if !path.communities.is_empty() {
            facts.push(("communities", Cell::from(path.communities.join(" "))));
        }
        if question.advertised.is_some() && !path.reason.is_empty() {
            facts.push(("remark", Cell::styled(Style::Warn, clean(&path.reason))));
        }
        print_facts(out, 4, facts)?;
    }
    Ok(())
}

fn peers(peers: &[PeerRef]) -> String {
    if peers.is_empty() {
        return "nobody".to_owned();
    }
    peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
