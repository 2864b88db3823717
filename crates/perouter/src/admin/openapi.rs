//! The API as an OpenAPI 3.1 document, from the model's types and the table of questions below: served at
//! `/v1/openapi.json`, and kept in docs/openapi.json by a test.

use std::sync::OnceLock;

use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::model;

/// Version of the API: of its paths and of what they mean, not of the daemon. Fields may be added without a new one.
const VERSION: &str = "1.0.0";
const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";

/// The document.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

/// One question or order.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(&'static str, Value)>,
    /// Statuses of a [`model::Refusal`].
    refusals: &'static [u16],
    /// Not over TCP.
    socket_only: bool,
}

impl Endpoint {
    fn get(path: &'static str, summary: &'static str, answer: Value) -> Self {
        Self {
            method: "get",
            path,
            summary,
            parameters: Vec::new(),
            body: None,
            answers: vec![(JSON, answer)],
            refusals: &[],
            socket_only: false,
        }
    }

    fn post(path: &'static str, summary: &'static str, body: Value, answer: Value) -> Self {
        Self { method: "post", body: Some(body), socket_only: true, ..Self::get(path, summary, answer) }
    }

    fn with(mut self, parameters: Vec<Value>) -> Self {
        self.parameters = parameters;
        self
    }

    fn or(mut self, media: &'static str, schema: Value) -> Self {
        self.answers.push((media, schema));
        self
    }

    fn refusing(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }

    fn on_the_socket_only(self) -> Self {
        Self { socket_only: true, ..self }
    }

    fn operation(self) -> Value {
        let content: Map<String, Value> =
            self.answers.into_iter().map(|(media, schema)| (media.to_owned(), json!({"schema": schema}))).collect();
        let mut responses = json!({"200": {"description": "The answer", "content": content}});
        for status in self.refusals {
            responses[status.to_string()] = json!({
                "description": refused(*status),
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}},
            });
        }
        let mut operation = json!({"summary": self.summary, "parameters": self.parameters, "responses": responses});
        if let Some(schema) = self.body {
            operation["requestBody"] = json!({"required": false, "content": {JSON: {"schema": schema}}});
        }
        if self.socket_only {
            operation["description"] = json!("On the daemon's own socket only.");
        }
        operation
    }
}

fn refused(status: u16) -> &'static str {
    match status {
        400 => "The question makes no sense",
        403 => "Not over TCP",
        404 => "No such peer, or nothing of the kind in this mode",
        409 => "The order could have no effect",
        500 => "The kernel cannot be asked",
        _ => "The speaker does not run",
    }
}

/// A parameter of the query, with a value to try.
fn query(name: &str, meaning: &str, schema: Value, example: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": meaning, "schema": schema, "example": example})
}

fn required(mut parameter: Value) -> Value {
    parameter["required"] = json!(true);
    parameter
}

/// The peer in a path.
fn peer(meaning: &str) -> Value {
    json!({
        "name": "peer", "in": "path", "required": true, "description": meaning, "schema": {"type": "string"},
        "example": "192.168.11.2",
    })
}

/// What answers say, and what orders may say.
struct Types {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl Types {
    fn new() -> Self {
        let generator = |contract| {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.contract = contract;
            settings.into_generator()
        };
        Self { answers: generator(Contract::Serialize), bodies: generator(Contract::Deserialize) }
    }

    fn answer<T: schemars::JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    fn body<T: schemars::JsonSchema>(&mut self) -> Value {
        self.bodies.subschema_for::<T>().to_value()
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.bodies.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all
    }
}

fn make() -> Value {
    let mut types = Types::new();
    let endpoints = endpoints(&mut types);
    types.answer::<model::Refusal>();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let (path, method) = (endpoint.path.to_owned(), endpoint.method);
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[method] = endpoint.operation();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "perouter",
            "version": VERSION,
            "description": "The local API of a running perouter: on the Unix socket perouter.sock in its state directory, for \
                            root; its questions, not its orders, also over TCP where `--http` asks for it. Families are spelled \
                            as in the configuration, durations are whole seconds, points in time RFC 3339 in UTC. Fields may \
                            be added; absent values are null.",
        },
        "servers": [{"url": "http://127.0.0.1:9180"}],
        "security": [{}, {"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": types.definitions(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Over TCP, where a token file is named"},
                "basic": {"type": "http", "scheme": "basic", "description": "The token as password of any user"},
            },
        },
    })
}

fn endpoints(types: &mut Types) -> Vec<Endpoint> {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "minimum": 0});
    let family = || json!({"enum": ["ipv4unicast", "ipv6unicast"]});
    let mut all = vec![
        Endpoint::get("/v1/status", "Everything on one screen", types.answer::<model::Status>()),
        Endpoint::get("/v1/peers", "All sessions", types.answer::<Vec<model::Peer>>()).refusing(&[503]),
        Endpoint::get("/v1/events", "What happened, and as a stream what happens", types.answer::<model::EventPage>())
            .or(STREAM, text())
            .with(vec![
                query("after", "Those after this number; without it the newest", number(), json!(0)),
                query("limit", "At most so many", number(), json!(5)),
                query("wait", "Seconds to wait for one, where there is none", number(), json!(1)),
            ])
            .refusing(&[400]),
        Endpoint::get("/v1/routes", "A page of routes, or one destination", types.answer::<model::RoutePage>())
            .with(vec![
                query("family", "Only this family", family(), json!("ipv4unicast")),
                query("prefix", "Only this destination: a prefix, or an address", text(), json!("203.0.113.0/24")),
                query("longest", "Or the longest prefix that contains it", json!({"type": "boolean"}), json!(true)),
                query("received", "What this peer sent", text(), json!("192.168.11.2")),
                query("advertised", "What this peer is sent", text(), json!("192.168.11.2")),
                query("after", "Resume after this destination", text(), json!("10.0.0.0/8")),
                query("limit", "At most so many", json!({"type": "integer", "minimum": 1}), json!(10)),
            ])
            .refusing(&[400, 404, 503]),
        Endpoint::get("/v1/explain", "The walk of a packet, and of its answer", types.answer::<model::Explanation>())
            .with(vec![
                required(query("address", "Where it goes", text(), json!("203.0.113.1"))),
                query(
                    "from",
                    "Where it begins; without it the host",
                    json!({"enum": ["host", "fabric"]}),
                    json!("host"),
                ),
                query("source", "Where it comes from", text(), json!("198.51.100.1")),
            ])
            .refusing(&[400, 500, 503]),
        Endpoint::get(
            "/v1/plan",
            "What the files would change if they were put in force",
            types.answer::<model::Plan>(),
        )
        .with(vec![
            query("config_dir", "Another directory than the daemon's; not over TCP", text(), json!("/nonexistent")),
            query("node_config", "Another file of the node; not over TCP", text(), json!("/nonexistent")),
        ])
        .refusing(&[400, 403, 404, 500]),
        Endpoint::get("/v1/drain", "How far draining is; null: it is not", types.answer::<Option<model::Drain>>())
            .refusing(&[503]),
        Endpoint::get("/v1/openapi.json", "This document", json!({"type": "object"})),
    ];
    all.push(
        Endpoint { answers: vec![], ..Endpoint::get("/metrics", "Figures for Prometheus", text()) }
            .or("application/openmetrics-text", text()),
    );
    all.push(
        Endpoint {
            answers: vec![],
            ..Endpoint::get("/v1/peers/{peer}/trace", "A peer's messages as they pass", text())
        }
        .or(STREAM, text())
        .with(vec![peer("By address or name")])
        .refusing(&[400, 404, 503])
        .on_the_socket_only(),
    );
    all.extend(orders(types));
    // What a stream of messages says has no schema of its own place in an answer.
    types.answer::<model::TracedMessage>();
    all
}

fn orders(types: &mut Types) -> Vec<Endpoint> {
    let ordered = types.answer::<Vec<model::Ordered>>();
    let clear = types.body::<model::Clear>();
    let shutdown = types.body::<model::ShutDown>();
    let (drain, draining) = (types.body::<model::DrainOrder>(), types.answer::<Option<model::Drain>>());
    vec![
        Endpoint::post("/v1/peers/{peer}/clear", "End a session and begin anew", clear, ordered.clone())
            .with(vec![peer("By address or name, or `all`")])
            .refusing(&[400, 404, 409, 503]),
        Endpoint::post("/v1/peers/{peer}/shutdown", "End a session and have none", shutdown, ordered)
            .with(vec![peer("By address or name")])
            .refusing(&[400, 404, 409, 503]),
        Endpoint::post("/v1/drain", "Have peers move their traffic, then end every session", drain, draining)
            .refusing(&[400, 503]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PEROUTER_BLESS=1` makes it write the document instead.
    #[test]
    fn the_documentation_has_the_document() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let wanted = format!("{}\n", serde_json::to_string_pretty(document()).unwrap());
        if std::env::var_os("PEROUTER_BLESS").is_some() {
            std::fs::write(&page, wanted).unwrap();
        } else {
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert_eq!(text, wanted, "PEROUTER_BLESS=1 cargo test -p perouter openapi");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_field_has_a_meaning() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        for (name, schema) in schemas {
            for (field, meaning) in schema["properties"].as_object().into_iter().flatten() {
                assert!(meaning["description"].is_string(), "{name}.{field}");
            }
        }
    }
}
