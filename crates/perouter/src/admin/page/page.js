// The looking glass: asks the router every two seconds, and at once when an event arrives, and draws what it says.
//
// Whatever comes from the router is set as text, never as HTML: peers choose some of it. Nothing is loaded from anywhere
// else, and nothing but GETs goes out.
"use strict";

const EVERY = 2000;          // between two looks, ms
const SOON = 150;            // after an event: several come together
const SHOWN_NODES = 8;       // peers of a column in the drawing
const SHOWN_ROWS = 200;      // sessions in the table
const KEPT_EVENTS = 500;
const SPARK = 60;            // looks in the curve
const YOUNG = 15;            // a session that is this many seconds without success is still coming

const $ = (selector, from = document) => from.querySelector(selector);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Writes only what differs: what is selected or read aloud stays. Tells whether something did.
function write(node, text) {
  if (node.textContent === String(text)) return false;
  node.textContent = text;
  return true;
}

// Keeps the element of each key, so that focus and open parts survive a look.
function keep(parent, items, keyOf, make) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, at) => {
    const key = keyOf(item);
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    child.update?.(item);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  old.forEach((child) => child.remove());
}

// ---- words ----

function lasting(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, name] = units[at];
  const rest = units[at + 1] ? Math.floor((seconds % size) / units[at + 1][0]) : 0;
  const first = `${Math.floor(seconds / size)} ${name}`;
  return rest && at < 2 ? `${first} ${rest} ${units[at + 1][1]}` : first;
}

const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
const number = (value) => value.toLocaleString("en").replaceAll(",", "\u2009");
const family = (name) => (name === "ipv6unicast" ? "IPv6" : "IPv4");
const states = { idle: "Idle", connect: "Connecting", active: "Waiting", open_sent: "Opening", open_confirm: "Opening", established: "Up" };

// A peer's health: `ok`, `warn` (coming, or set aside on purpose) or `bad`.
function health(peer) {
  if (peer.state === "established") return peer.bfd && peer.bfd.local.state !== "up" ? "warn" : "ok";
  if (peer.shut_down || peer.routes_kept_seconds !== null) return "warn";
  return peer.since_seconds < YOUNG && peer.flaps === 0 && !peer.last_error ? "warn" : "bad";
}

const grave = { bad: 0, warn: 1, ok: 2 };
const title = (peer) => peer.name || peer.address;
const key = (peer) => `${peer.address} ${peer.link ?? ""} ${peer.name}`;
const sum = (peer, what) => peer.families.reduce((all, one) => all + one[what], 0);
const updates = (peers) => peers.reduce((all, peer) => all + peer.messages_received.update + peer.messages_sent.update, 0);

// ---- which link leads to an address ----

// An address as bits: [family, number].
function bits(address) {
  const plain = address.split("%")[0];
  if (!plain.includes(":")) return [4, plain.split(".").reduce((all, part) => all * 256n + BigInt(part), 0n)];
  const [head, tail] = plain.split("::").map((half) => (half ? half.split(":") : []));
  const zeros = tail === undefined ? [] : Array(8 - head.length - tail.length).fill("0");
  return [6, [...head, ...zeros, ...(tail ?? [])].reduce((all, part) => all * 65536n + BigInt(`0x${part}`), 0n)];
}

function contains(prefix, address) {
  const [network, length] = prefix.split("/");
  const [[one, left], [other, right]] = [bits(network), bits(address)];
  const host = BigInt((one === 4 ? 32 : 128) - Number(length));
  return one === other && left >> host === right >> host;
}

function linkOf(peer, links) {
  if (peer.link) return links.find((link) => link.name === peer.link) ?? null;
  return links.find((link) => link.addresses.some((prefix) => contains(prefix, peer.address))) ?? null;
}

// ---- the drawing ----

function peerNode() {
  const made = element("button", { type: "button", class: "node" },
    element("strong"), element("small", { class: "place" }), element("small", { class: "why" }), element("span", { class: "counts" }));
  made.addEventListener("click", () => openSession(made.dataset.key));
  made.update = ({ peer }) => {
    const state = health(peer);
    made.className = `node ${state}`;
    write($("strong", made), title(peer));
    const as = peer.asn ? `AS ${peer.asn}` : "any AS";
    const address = peer.name && peer.name !== peer.address ? `${peer.address} · ` : "";
    write($(".place", made), `${address}${as} · ${states[peer.state]} for ${lasting(peer.since_seconds)}`);
    const why = $(".why", made);
    write(why, reason(peer));
    why.hidden = !why.textContent;
    counts($(".counts", made), peer);
    made.setAttribute("aria-label", `${title(peer)}: ${states[peer.state]}. Show its session`);
  };
  return made;
}

function counts(place, peer) {
  const shown = [["→", sum(peer, "received"), "routes that it sends"], ["←", sum(peer, "advertised"), "routes that it is sent"]];
  if (place.children.length === 0) {
    place.append(...shown.map(([sign, , means]) => element("span", { title: means }, `${sign} `, element("b"))));
  }
  shown.forEach(([, value], at) => {
    const figure = $("b", place.children[at]);
    const first = figure.textContent === "";
    if (write(figure, number(value)) && !first) flash(figure);
  });
}

function flash(node) {
  node.classList.remove("changed");
  void node.offsetWidth; // the animation begins anew
  node.classList.add("changed");
}

function routerNode() {
  const made = element("div", { class: "node" }, element("strong"), element("small"), element("dl", { class: "figures" }));
  const spark = shape("svg", { class: "spark", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img" });
  spark.append(shape("title", {}, "Updates of routes over the last two minutes"), shape("path", {}));
  made.append(spark, element("small", { class: "rate" }));
  made.update = ({ status }) => {
    const router = status.router;
    write($("strong", made), router?.asn ? `AS ${router.asn}` : "no configuration");
    write($("small", made), router?.router_id ? `router id ${router.router_id}${status.namespace ? ` · namespace ${status.namespace}` : ""}` : "");
    const figures = (router?.destinations ?? []).map((one) => [`${family(one.family)} destinations`, one.count, ""]);
    if (router) {
      figures.push(["routes in the kernel", router.fib.installed, ""]);
      if (router.fib.pending) figures.push(["on their way there", router.fib.pending, "warn"]);
      if (router.fib.failed) figures.push(["refused by the kernel", router.fib.failed, "bad"]);
      if (!router.fib.pending && !router.fib.failed) figures.push(["next-hop groups", router.fib.groups, ""]);
    }
    keep($("dl", made), figures, (one) => one[0], ([name]) => {
      const entry = element("div", {}, element("dt", {}, name), element("dd"));
      entry.update = ([, value, state]) => {
        $("dd", entry).className = state ? `word ${state}` : "";
        write($("dd", entry), number(value));
      };
      return entry;
    });
    drawCurve(made);
  };
  return made;
}

const curve = [];

// What changed since the last look, per second.
function measure(status) {
  const now = { at: performance.now(), updates: updates(status.peers), started: status.started };
  const before = measure.before;
  measure.before = now;
  if (!before || before.started !== now.started || now.updates < before.updates) return;
  curve.push((now.updates - before.updates) / Math.max(0.1, (now.at - before.at) / 1000));
  if (curve.length > SPARK) curve.shift();
}

function drawCurve(place) {
  const top = Math.max(1, ...curve);
  const points = curve.map((value, at) => `${100 - (curve.length - 1 - at) * (100 / (SPARK - 1))} ${28 - (value / top) * 26}`);
  $(".spark path", place).setAttribute("d", `M${["0 28", ...points.slice(0, 1).map((point) => `${point.split(" ")[0]} 28`), ...points].join("L")}${points.length ? "" : "H100"}`);
  const last = curve.at(-1) ?? 0;
  write($(".rate", place), last < 0.05 ? "no route changes at the moment" : `${last < 10 ? last.toFixed(1) : number(Math.round(last))} updates each second`);
}

function drawTopology(status) {
  const of = (...roles) => status.peers.filter((peer) => roles.includes(peer.role))
    .sort((one, other) => grave[health(one)] - grave[health(other)] || 0);
  const [outside, inside] = [of("fabric", "peer"), of("host")];
  const speaks = status.mode === "speak";
  write($("#fabric h3"), speaks ? "Peers" : "Fabric");
  $("#host").hidden = speaks && inside.length === 0;
  column($("#fabric .nodes"), outside, speaks ? "no peer is configured" : "no peer in the fabric is configured");
  column($("#host .nodes"), inside, "no session with the host is configured");
  keep($("#router .nodes"), [{ status }], () => "router", routerNode);
  drawTopology.last = { links: status.links, peers: new Map(status.peers.map((peer) => [key(peer), peer])) };
  drawWires();
}

function column(place, peers, nobody) {
  const shown = peers.slice(0, SHOWN_NODES).map((peer) => ({ peer }));
  const more = peers.length - shown.length;
  if (more > 0) shown.push({ text: `and ${many(more, "more session")}, in the list below` });
  if (peers.length === 0) shown.push({ text: nobody });
  keep(place, shown, (item) => (item.peer ? key(item.peer) : "text"), (item) => {
    if (item.peer) return peerNode();
    const made = element("p", { class: "node quiet" });
    made.update = ({ text }) => write(made, text);
    return made;
  });
}

// Wires between the cards: side by side they go across, one below the other down, one for each link.
function drawWires() {
  const map = $("#map");
  if (!drawTopology.last) return;
  const { links, peers } = drawTopology.last;
  const frame = map.getBoundingClientRect();
  const box = (node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    return { left: left - frame.left, top: top - frame.top, right: left - frame.left + width, bottom: top - frame.top + height };
  };
  const router = box($("#router .node"));
  const wires = [];
  for (const [side, out] of [["#fabric", true], ["#host", false]]) {
    if ($(side).hidden) continue;
    const nodes = [...document.querySelectorAll(`${side} .nodes .node`)].filter((node) => peers.has(node.dataset.key));
    const ends = nodes.map((node) => {
      const peer = peers.get(node.dataset.key);
      const link = linkOf(peer, links);
      const down = link && !(link.up && link.carrier);
      return { at: box(node), state: down ? "bad" : health(peer), name: link ? link.name + (down ? " is down" : "") : peer.link ?? "" };
    });
    if (ends.length === 0) continue;
    const across = box($(side)).right < router.left || box($(side)).left > router.right;
    wires.push(...(across ? acrossWires(ends, router, out) : downWires(ends, box($(side)), router, out)));
  }
  $("#wires").replaceChildren(...wires.flatMap(({ d, state, name, x, y }) => [
    shape("path", { d, class: `wire ${state}` }), shape("text", { x, y, class: `wire-name ${state}` }, name)]));
}

function acrossWires(ends, router, out) {
  const [from, to] = out ? ["right", "left"] : ["left", "right"];
  const step = (router.bottom - router.top) / (ends.length + 1);
  return ends.map(({ at, state, name }, index) => {
    const [x1, y1, x2, y2] = [at[from], (at.top + at.bottom) / 2, router[to], router.top + step * (index + 1)];
    const bend = (x1 + x2) / 2;
    return { d: `M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`, state, name, x: bend, y: (y1 + y2) / 2 - 6 };
  });
}

function downWires(ends, side, router, out) {
  const links = new Map();
  for (const { state, name } of ends) {
    if (!links.has(name) || grave[state] < grave[links.get(name)]) links.set(name, state);
  }
  const [y1, y2] = out ? [side.bottom, router.top] : [router.bottom, ends[0].at.top];
  const step = (router.right - router.left) / (links.size + 1);
  return [...links].map(([name, state], index) => {
    const x = router.left + step * (index + 1);
    return { d: `M${x} ${y1}L${x} ${y2}`, state, name, x: x + 9, y: (y1 + y2) / 2 + 4 };
  });
}

// ---- sessions ----

const open = new Set();

function reason(peer) {
  if (peer.shut_down) return "shut down by an operator; `perouter clear` brings it back";
  if (peer.state !== "established") {
    const kept = peer.routes_kept_seconds === null ? null : `its routes are kept for ${lasting(peer.routes_kept_seconds)}`;
    return [peer.last_error, kept].filter(Boolean).join("; ");
  }
  return peer.bfd && peer.bfd.local.state !== "up" ? `BFD: ${peer.bfd.reason}` : "";
}

function openSession(which) {
  open.add(which);
  if (last) drawSessions(last);
  const row = [...document.querySelectorAll("#sessions tr.row")].find((row) => row.dataset.key === which);
  row?.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  row?.querySelector("button").focus({ preventScroll: true });
}

function sessionRow() {
  const button = element("button", { type: "button", "aria-expanded": "false" });
  const cells = ["State", "For", "AS", "Received", "Accepted", "Advertised", "BFD"];
  const row = element("tr", { class: "row" },
    element("td", {}, button, element("small")),
    ...cells.map((head, at) => element("td", { "data-head": at ? head : null, class: at > 2 && at < 6 ? "number" : null })));
  button.addEventListener("click", () => {
    if (!open.delete(row.dataset.key)) open.add(row.dataset.key);
    drawSessions(last);
  });
  row.update = ({ peer }) => {
    const [, state, since, as, received, accepted, advertised, bfd] = row.children;
    write(button, title(peer));
    button.setAttribute("aria-expanded", open.has(row.dataset.key));
    const place = [peer.name && peer.name !== peer.address ? peer.address : null, peer.role === "peer" ? null : peer.role, peer.range];
    write($("small", row), place.filter(Boolean).join(" · "));
    keep(state, [peer], () => "state", () => element("span"));
    state.firstChild.className = `word ${health(peer)}`;
    write(state.firstChild, `${{ ok: "●", warn: "◆", bad: "✕" }[health(peer)]} ${states[peer.state]}`);
    write(since, lasting(peer.since_seconds));
    write(as, peer.asn ?? "any");
    for (const [cell, what] of [[received, "received"], [accepted, "accepted"], [advertised, "advertised"]]) familyCounts(cell, peer, what);
    write(bfd, peer.bfd ? peer.bfd.local.state.replace("_", " ") : "–");
    row.classList.toggle("has-more", Boolean(reason(peer)) || open.has(row.dataset.key));
  };
  return row;
}

function familyCounts(cell, peer, what) {
  const several = peer.families.length > 1;
  const shown = peer.families.length ? peer.families : [{ family: "", [what]: null }];
  keep(cell, shown, (one) => one.family, () => {
    const made = element("div", {}, element("span"), element("span", { class: "family" }));
    made.update = (one) => {
      const first = made.firstChild.textContent === "";
      if (write(made.firstChild, one[what] === null ? "–" : number(one[what])) && !first) flash(made.firstChild);
      write(made.lastChild, several ? family(one.family) : "");
    };
    return made;
  });
}

function detailRow() {
  const row = element("tr", { class: "because" }, element("td", { colspan: 8 }, element("p", { class: "reason" }), element("div", { class: "detail" }, element("dl"))));
  row.update = ({ peer }) => {
    const text = reason(peer);
    const place = $(".reason", row);
    place.hidden = !text;
    place.classList.toggle("warn", health(peer) !== "bad");
    write(place, text);
    $(".detail", row).hidden = !open.has(key(peer));
    if (open.has(key(peer))) pairs($("dl", row), details(peer));
  };
  return row;
}

function details(peer) {
  const messages = (counted) => `${many(counted.update, "update")}, ${many(counted.keepalive, "keepalive")}, ${many(counted.notification, "notification")}`;
  const bfd = peer.bfd;
  return [
    ["connection", peer.local && peer.remote ? `${peer.local} (here) – ${peer.remote}` : null],
    ["router id", peer.router_id],
    ["hold time", peer.hold_time_seconds === null ? null : peer.hold_time_seconds ? `${peer.hold_time_seconds} s` : "none"],
    ["agreed on", peer.capabilities.join(", ")],
    ["restarts", peer.graceful_restart ? (peer.graceful_restart.restart_seconds ? `its routes are kept for ${peer.graceful_restart.restart_seconds} s` : "it bears with ours") : null],
    ["BFD", bfd ? `${bfd.reason}${bfd.detection_time_ms ? `; lost after ${bfd.detection_time_ms} ms` : ""}` : null],
    ["received", messages(peer.messages_received)],
    ["sent", messages(peer.messages_sent)],
    ["malformed", peer.malformed ? `${many(peer.malformed, "attribute or route", "attributes or routes")} set aside: ${Object.entries(peer.malformed_attributes).map(([name, count]) => `${count} ${name}`).join(", ")}` : null],
    ["lost so far", many(peer.flaps, "time")],
    ["last error", peer.state === "established" ? peer.last_error : null],
  ];
}

function pairs(list, entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const flat = shown.flatMap(([name, value]) => [{ name, value: name, as: "dt" }, { name, value, as: "dd" }]);
  keep(list, flat, (one) => one.as + one.name, (one) => {
    const made = element(one.as);
    made.update = ({ value }) => write(made, value);
    return made;
  });
}

function drawSessions(status) {
  const order = { fabric: 0, peer: 1, host: 2 };
  const peers = [...status.peers].sort((one, other) => grave[health(one)] - grave[health(other)] || order[one.role] - order[other.role]);
  const up = peers.filter((peer) => peer.state === "established").length;
  const shown = peers.slice(0, SHOWN_ROWS);
  const hidden = peers.length - shown.length;
  write($("#sessions-count"), `${up} of ${peers.length} up${hidden ? `; ${many(hidden, "more")} with \`perouter peers\`` : ""}`);
  $("#sessions .empty").hidden = peers.length > 0;
  $("#sessions table").hidden = peers.length === 0;
  const rows = shown.flatMap((peer) => {
    const more = reason(peer) || open.has(key(peer));
    return [{ peer, make: sessionRow, id: key(peer) }, ...(more ? [{ peer, make: detailRow, id: `${key(peer)} more` }] : [])];
  });
  keep($("#sessions tbody"), rows, (row) => row.id, (row) => row.make());
}

// ---- the question ----

async function lookUp(text) {
  const place = $("#answer");
  const asked = text.trim();
  if (!asked) return place.replaceChildren();
  try {
    const { routes } = await question(`v1/routes?prefix=${encodeURIComponent(asked)}&longest=true`);
    const known = routes.length ? route(asked, routes[0]) : [element("p", {}, `There is no route to ${asked} in BGP.`)];
    // The kernel is asked too, where it can be: about addresses.
    const walked = asked.includes("/") ? null : await question(`v1/explain?address=${encodeURIComponent(asked)}`);
    place.replaceChildren(...known, ...(walked ? walks(walked) : []));
  } catch (error) {
    place.replaceChildren(element("p", { class: "refusal" }, error.message));
  }
}

async function question(path) {
  const answer = await fetch(path);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

const inKernel = {
  installed: "The kernel forwards along it.",
  not_installed: "It is not in the kernel (yet).",
  not_wanted: "It is this node's own: packets for it are not forwarded by this route.",
};

function route(asked, found) {
  const told = found.advertised_to.map((peer) => (peer.name && peer.name !== peer.address ? peer.name : peer.address));
  return [
    element("div", {}, element("p", { class: "quiet" }, `${asked} is reached by`), element("p", { class: "prefix" }, found.prefix)),
    element("p", {}, `${inKernel[found.kernel]} ${found.kernel_error ?? ""}`),
    element("p", {}, told.length ? `It is told to ${told.join(", ")}.` : "It is told to nobody."),
    found.withheld.length ? element("ul", { class: "quiet withheld" },
      ...found.withheld.map(({ peer, reason }) => element("li", {}, `Not to ${peer.name || peer.address}: ${reason}`))) : "",
    ...found.paths.map(path),
  ];
}

function chips(parts) {
  return element("div", { class: "chips" }, ...parts.flatMap((part, at) => [at ? element("i", { "aria-hidden": true }, "→") : null, element("span", {}, part)]));
}

// What the kernel does with a packet from the host, and with the answer.
function walks(said) {
  const walk = (name, one) => {
    const parts = one.steps.flatMap((step) => [step.place, step.route, step.next_hop, step.link].filter(Boolean));
    return element("div", { class: `path ${one.good ? "best" : "unusable"}` },
      element("p", {}, element("span", { class: "verdict" }, `${name}: `), one.end), chips(parts));
  };
  return [
    element("h3", {}, "A packet from the host"),
    ...said.verdicts.map((text) => element("p", { class: said.good ? "quiet" : "refusal" }, text)),
    walk("There", said.walk), said.back ? walk("Back", said.back) : "",
  ];
}

function path(one) {
  const [kind, word] = one.best ? ["best", "Best"] : one.multipath ? ["shared", "Used as well"] : one.usable ? ["", "Not used"] : ["unusable", "Not usable"];
  const from = one.from ? (one.from.name && one.from.name !== one.from.address ? `${one.from.name} (${one.from.address})` : one.from.address) : "this router";
  const hops = [one.link, one.next_hop, ...one.as_path.match(/\{[^}]*\}|\S+/g)?.map((as) => `AS ${as}`) ?? []].filter(Boolean);
  const list = element("dl");
  pairs(list, [
    ["origin", one.origin], ["MED", one.med], ["local preference", one.local_pref], ["path id", one.path_id],
    ["communities", one.communities.join(" ")], ["stale", one.stale ? "kept from before the peer's restart" : null],
  ]);
  return element("div", { class: `path ${kind}` },
    element("p", {}, element("span", { class: "verdict" }, `${word}: `), one.reason),
    element("p", { class: "quiet" }, `from ${from}`),
    hops.length ? chips(hops) : null, list);
}

// ---- events ----

let life = null;
let newest = 0;

function divide(text) {
  $("#events ol").prepend(element("li", { class: "warn" }, element("time"), element("span", { class: "sign" }, "–"), element("span", {}, text)));
}

function addEvent(event, id) {
  const [of] = id.split("-");
  if (life !== null && of !== life) {
    divide("The router was started anew.");
    newest = 0;
  }
  life = of;
  if (event.number <= newest) return;
  newest = event.number;
  const at = new Date(event.at);
  const name = last?.peers.find((peer) => peer.address === event.peer)?.name;
  const about = name && event.text.includes(name) ? null : event.peer ?? event.object;
  const list = $("#events ol");
  list.prepend(element("li", { class: event.level === "warn" ? "warn" : null },
    element("time", { datetime: event.at, title: at.toLocaleString() }, at.toLocaleTimeString("en-GB")),
    element("span", { class: "sign", title: event.level === "warn" ? "deserves a look" : null }, event.level === "warn" ? "!" : "·"),
    element("span", {}, about && !event.text.includes(about) ? element("span", { class: "about" }, about) : null, event.text)));
  while (list.children.length > KEPT_EVENTS) list.lastChild.remove();
}

function follow() {
  const stream = new EventSource("v1/events?limit=200");
  stream.addEventListener("event", (message) => {
    addEvent(JSON.parse(message.data), message.lastEventId);
    soon();
  });
  stream.addEventListener("missed", (message) => divide(`${message.data} events before this are no longer kept.`));
}

// ---- configuration, header ----

function drawConfiguration(status) {
  const items = [
    ...status.verdicts.map((one) => ({
      state: one.outcome === "rejected" ? "bad" : one.warnings.length ? "warn" : "ok",
      text: `${one.kind} ${one.name}`,
      say: one.outcome === "rejected" ? [[one.field, one.message].filter(Boolean).join(": ")] : one.warnings,
      place: `${one.outcome}${one.reason ? ` (${one.reason})` : ""}${one.file ? ` · ${one.file}${one.line ? `:${one.line}` : ""}` : ""}`,
    })),
    ...status.host_errors.map((one) => ({ state: "bad", text: one.object, say: [one.message], place: "this host" })),
    ...status.host_warnings.map((text) => ({ state: "warn", text, say: [], place: "this host" })),
  ].sort((one, other) => grave[one.state] - grave[other.state]);
  keep($("#configuration ul"), items, (one) => JSON.stringify(one), (one) => element("li", { class: one.state },
    element("span", { class: "sign", title: one.state }, { ok: "✓", warn: "!", bad: "✕" }[one.state]),
    element("div", {}, one.text, ...one.say.map((text) => element("small", { class: "say" }, text)), element("small", {}, one.place))));
  const empty = $("#configuration .empty");
  empty.hidden = items.length > 0;
  write(empty, status.no_config ?? (status.mode === "speak" ? "A plain speaker: its file is in force." : "Nothing is configured."));
}

function drawHead(status) {
  const node = status.node?.name ?? status.router?.router_id ?? "perouter";
  write($("#node"), node);
  const router = status.router?.asn ? `AS ${status.router.asn} · ` : "";
  write($("#identity"), `${router}up ${lasting(status.uptime_seconds)} · perouter ${status.version}`);
  const draining = status.drain !== null;
  const [state, text] = !status.healthy
    ? ["bad", many(status.problems.length, "problem")]
    : status.warnings.length ? ["warn", `Healthy, ${many(status.warnings.length, "remark")}`] : ["ok", "Healthy"];
  const pill = $("#health");
  pill.className = `pill ${state}`;
  write(pill, `${{ ok: "●", warn: "◆", bad: "✕" }[state]} ${draining ? "Draining: " : ""}${text}`);
  document.title = `${state === "ok" ? "●" : state === "warn" ? "◆" : "✕"} ${node} – perouter`;
  const items = [...status.problems.map((text) => ({ text })), ...status.warnings.map((text) => ({ text, warn: true }))];
  const place = $("#problems");
  place.hidden = items.length === 0;
  place.classList.toggle("warn", status.healthy);
  write($("h2", place), status.healthy ? "Worth knowing" : "Not as it should be");
  keep($("ul", place), items, (one) => one.text, (one) => element("li", { class: one.warn ? "warn" : null }, one.text));
}

// ---- looking ----

let last = null;
let heard = 0;
let timer = 0;

function draw(status) {
  last = status;
  measure(status);
  drawHead(status);
  drawTopology(status);
  drawSessions(status);
  drawConfiguration(status);
}

async function look() {
  clearTimeout(timer);
  try {
    const answer = await fetch("v1/status");
    if (!answer.ok) throw new Error(`${answer.status}`);
    draw(await answer.json());
    heard = performance.now();
    $("#live").className = "quiet on";
    write($("#live"), "live");
  } catch {
    $("#live").className = "quiet off";
    write($("#live"), heard ? `no answer for ${lasting(Math.round((performance.now() - heard) / 1000))}` : "no answer");
  }
  clearTimeout(timer);
  // Nobody looks at a page in the background; it catches up when it is shown.
  if (!document.hidden) timer = setTimeout(look, EVERY);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(look, SOON);
}

// ---- theme and keys ----

const system = matchMedia("(prefers-color-scheme: dark)");
const themes = ["auto", "light", "dark"];
let theme = "auto";
try {
  theme = themes.find((name) => name === localStorage.getItem("perouter-theme")) ?? "auto";
} catch { /* a browser without storage forgets */ }

function paint() {
  document.documentElement.dataset.theme = theme === "auto" ? (system.matches ? "dark" : "light") : theme;
  write($("#theme"), theme);
}

function nextTheme() {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  try {
    localStorage.setItem("perouter-theme", theme);
  } catch { /* as above */ }
  paint();
}

paint();
system.addEventListener("change", paint);
$("#theme").addEventListener("click", nextTheme);
$("#warnings").addEventListener("change", (event) => $("#events ol").classList.toggle("warnings", event.target.checked));
$("#ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = $("#address").value.trim();
  history.replaceState(null, "", asked ? `#route=${encodeURIComponent(asked)}` : location.pathname);
  lookUp(asked);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (event.key === "/") {
    event.preventDefault();
    $("#address").focus();
  } else if (event.key === "t") {
    nextTheme();
  }
});
document.addEventListener("visibilitychange", () => document.hidden || look());
new ResizeObserver(drawWires).observe($("#map"));
if (location.hash.startsWith("#route=")) {
  $("#address").value = decodeURIComponent(location.hash.slice(7));
  lookUp($("#address").value);
}
look();
follow();
