//! `GET /openapi.json`: the API described from the table of methods, so that the document cannot say anything else.

use super::Http;
use crate::api::{Access, Code, METHODS, Method, Verb};
use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::IntoResponse,
};
use bytes::Bytes;
use parlance_schema::api::Problem;
use std::fmt::Write;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, License, OpenApi,
        OpenApiBuilder, PathItem, Paths, PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
        Schema,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

const BEARER: &str = "bearer";
const PROBLEM: &str = "Problem";

/// The document, made once.
pub(super) async fn answer(State(http): State<Http>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=60")], http.openapi)
}

/// The document as JSON.
pub(super) fn json() -> Bytes {
    document().to_json().expect("a document of strings and maps always serialises").into()
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Parlance")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description()))
        .license(Some(License::new("Apache-2.0")));
    OpenApiBuilder::new().info(info.build()).paths(paths()).components(Some(components())).build()
}

fn description() -> String {
    let mut text = String::from(
        "A messenger on MQTT. Every call here works over MQTT as well: publish the same JSON object to `rpc/{name}` \
         (`admin.users` for `/admin/users`) and receive the answer on the Response Topic or `me/json/reply/{name}`.\n\n\
         Unknown fields are refused. Times are Unix milliseconds. `@handle`, user id, group id or conversation id name \
         whom or where.\n\n\
         Every error is a problem document (RFC 9457) with a stable `code`:\n\n| code | status | |\n| --- | --- | --- |\n",
    );
    for code in Code::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {} |", code.as_str(), code.status(), code.title());
    }
    text
}

fn components() -> Components {
    let mut schemas: Vec<(String, RefOr<Schema>)> = vec![(PROBLEM.to_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    for method in METHODS {
        for shape in [method.request, method.answer] {
            schemas.push(((shape.name)().into_owned(), (shape.schema)()));
            (shape.parts)(&mut schemas);
        }
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token (from `login`) or an API key."))
        .build();
    ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .response(PROBLEM, problem_response())
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .build()
}

fn problem_response() -> Response {
    let example = crate::api::ApiError::NotAMember.problem();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(PROBLEM)))
        .example(serde_json::to_value(example).ok());
    ResponseBuilder::new()
        .description("Refused: what happened and what to do next.")
        .content("application/problem+json", content.build())
        .build()
}

fn paths() -> Paths {
    let mut paths = PathsBuilder::new();
    for method in METHODS {
        let verb = match method.verb {
            Verb::Get => HttpMethod::Get,
            Verb::Post => HttpMethod::Post,
        };
        paths = paths.path(method.path(), PathItem::new(verb, operation(method)));
    }
    for (path, media_type, summary) in [
        ("/health", "application/json", "The process lives."),
        ("/ready", "application/json", "Messages are taken; 503 and the reason otherwise."),
        ("/metrics", "text/plain", "Prometheus metrics. Without a login from the same machine only."),
    ] {
        let answer =
            ResponseBuilder::new().description(summary).content(media_type, Content::default()).build();
        let operation = OperationBuilder::new().tag("operations").summary(Some(summary));
        let operation = refusals(operation.response("200", answer), &["5XX"]);
        paths = paths.path(path, PathItem::new(HttpMethod::Get, operation.build()));
    }
    paths.build()
}

fn operation(method: &Method) -> Operation {
    let answer = ResponseBuilder::new()
        .description("Done.")
        .content("application/json", content((method.answer.name)().into_owned(), None))
        .build();
    let mut operation = OperationBuilder::new()
        .operation_id(Some(method.name))
        .tag(tag(method))
        .summary(Some(method.summary))
        .description(Some(format!("{} Over MQTT: `rpc/{}`.", who(method), method.name)))
        .response("200", answer);
    if method.access != Access::Anybody {
        operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []));
    }
    operation = match method.verb {
        Verb::Get => operation.parameters(Some(parameters(method))),
        Verb::Post => operation.request_body(Some(body(method))),
    };
    refusals(operation, &["4XX", "5XX"]).build()
}

fn refusals(operation: OperationBuilder, ranges: &[&str]) -> OperationBuilder {
    ranges
        .iter()
        .fold(operation, |operation, range| operation.response(*range, Ref::from_response_name(PROBLEM)))
}

fn tag(method: &Method) -> &'static str {
    use parlance_plugin_api::identity::Action::{Administer, ManageAccount, ManageGroups, Read, Send};
    match method.access {
        Access::Allowed(Send | Read) => "messages",
        Access::Allowed(ManageGroups) => "groups",
        Access::Allowed(Administer) => "operators",
        Access::Anybody | Access::Account | Access::Allowed(ManageAccount) => "accounts",
    }
}

fn who(method: &Method) -> &'static str {
    use parlance_plugin_api::identity::Action::{Administer, ManageAccount, ManageGroups, Read, Send};
    match method.access {
        Access::Anybody => "For anybody.",
        Access::Account => "For whoever is logged in.",
        Access::Allowed(Send) => "API keys need the scope `messages.send`.",
        Access::Allowed(Read) => "API keys need the scope `messages.read`.",
        Access::Allowed(ManageGroups) => "API keys need the scope `groups.manage`.",
        Access::Allowed(ManageAccount) => "Not for API keys.",
        Access::Allowed(Administer) => "For the operator.",
    }
}

fn example(method: &Method) -> Option<serde_json::Value> {
    serde_json::from_str(method.example).ok()
}

fn content(schema: String, example: Option<serde_json::Value>) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).example(example).build()
}

fn body(method: &Method) -> RequestBody {
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/json", content((method.request.name)().into_owned(), example(method)))
        .build()
}

/// The fields of a request as query parameters.
fn parameters(method: &Method) -> Vec<Parameter> {
    let RefOr::T(Schema::Object(request)) = (method.request.schema)() else { return Vec::new() };
    let examples = example(method).unwrap_or_default();
    let parameter = |(name, schema): (String, RefOr<Schema>)| {
        let required = if request.required.contains(&name) { Required::True } else { Required::False };
        ParameterBuilder::new()
            .parameter_in(ParameterIn::Query)
            .required(required)
            .example(examples.get(&name).cloned())
            .schema(Some(schema))
            .name(name)
            .build()
    };
    request.properties.clone().into_iter().map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn parsed() -> Value {
        serde_json::from_slice(&json()).unwrap()
    }

    /// The table and the document name the same calls, with the same HTTP methods.
    #[test]
    fn every_method_is_described_and_nothing_else() {
        let document = parsed();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|verb| (path.clone(), verb.clone()))
            })
            .filter(|(path, _)| !["/health", "/ready", "/metrics"].contains(&path.as_str()))
            .collect();
        let called =
            METHODS.iter().map(|method| (method.path(), format!("{:?}", method.verb).to_lowercase()));
        assert_eq!(described, called.collect());
        for method in METHODS {
            let item = &document["paths"][method.path()][format!("{:?}", method.verb).to_lowercase()];
            assert_eq!(item["operationId"], method.name);
            assert_eq!(item["security"].is_null(), method.access == Access::Anybody, "{}", method.name);
            assert_eq!(item["responses"]["4XX"]["$ref"], "#/components/responses/Problem");
        }
    }

    /// A reference that leads nowhere makes the document useless to generators.
    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = parsed();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > METHODS.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn queries_and_bodies_are_described_from_the_requests() {
        let document = parsed();
        let parameters = document["paths"]["/messages"]["get"]["parameters"].as_array().unwrap();
        let named: BTreeSet<(&str, bool)> = parameters
            .iter()
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["required"].as_bool().unwrap()))
            .collect();
        assert_eq!(
            named,
            BTreeSet::from([("after", false), ("before", false), ("conversation", true), ("limit", false)])
        );
        let send = &document["paths"]["/sendMessage"]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(send["schema"]["$ref"], "#/components/schemas/SendMessageRequest");
        assert_eq!(send["example"]["text"], "hello");
    }

    #[test]
    fn every_code_is_listed() {
        let document = parsed();
        let description = document["info"]["description"].as_str().unwrap();
        for code in Code::ALL {
            assert!(description.contains(&format!("| `{}` |", code.as_str())), "{code:?}");
        }
    }
}
