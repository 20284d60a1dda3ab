//! `services`: the file's own names, flattened; and the service words of rules.

use std::collections::HashMap;

use crate::policy::diagnostic::Report;
use crate::policy::model::{NamedService, Service, Span};
use crate::policy::services::{self, ServiceError};
use crate::policy::text::cx::Cx;
use crate::policy::text::walk;
use crate::policy::text::yaml::Node;

/// A definition as written, before names in it are resolved.
#[derive(Debug)]
struct Definition<'n> {
    name: &'n str,
    span: Span,
    words: Vec<(&'n str, Span)>,
}

/// Reads the `services` of all files together: a service may name one defined later.
pub fn read(nodes: &[&Node], cx: &mut Cx<'_>) {
    let mut definitions: Vec<Definition<'_>> = Vec::new();
    for node in nodes {
        for (key, value) in walk::mapping(node, "`services`", &mut cx.report).unwrap_or_default() {
            if let Some(definition) = define(key, value, &definitions, &mut cx.report) {
                definitions.push(definition);
            }
        }
    }
    let mut resolver = Resolver::new(&definitions, &mut cx.report);
    let all = (0..definitions.len())
        .map(|index| resolver.resolve(index))
        .collect::<Vec<_>>();
    let named = definitions
        .iter()
        .zip(all)
        .map(|(definition, parts)| NamedService {
            name: definition.name.to_owned(),
            span: definition.span,
            parts,
        });
    cx.services = named.collect();
    warn_replaced(cx);
}

fn define<'n>(
    key: &'n Node,
    value: &'n Node,
    before: &[Definition<'_>],
    report: &mut Report<'_>,
) -> Option<Definition<'n>> {
    let name = walk::name(key, "a service", report)?;
    if services::is_protocol_word(name) {
        let message = format!("`{name}` is a protocol and cannot name a service");
        report.error(key.span, "reserved-name", message);
        return None;
    }
    if before.iter().any(|other| other.name == name) {
        let message = format!("there is a service `{name}` already");
        report.error(key.span, "duplicate-name", message);
        return None;
    }
    let mut words = Vec::new();
    for item in walk::filled_list(value, name, report).unwrap_or_default() {
        let word = walk::text(item, "a service such as tcp/443, or a name", report);
        words.extend(word.map(|word| (word, item.span)));
    }
    Some(Definition {
        name,
        span: key.span,
        words,
    })
}

/// Flattens definitions depth first; a name met again on its own way is a cycle.
struct Resolver<'d, 'n, 'r, 't> {
    definitions: &'d [Definition<'n>],
    names: HashMap<&'n str, usize>,
    done: Vec<Option<Vec<Service>>>,
    way: Vec<usize>,
    report: &'r mut Report<'t>,
}

impl<'d, 'n, 'r, 't> Resolver<'d, 'n, 'r, 't> {
    fn new(definitions: &'d [Definition<'n>], report: &'r mut Report<'t>) -> Self {
        Self {
            definitions,
            names: definitions
                .iter()
                .enumerate()
                .map(|(index, d)| (d.name, index))
                .collect(),
            done: vec![None; definitions.len()],
            way: Vec::new(),
            report,
        }
    }

    fn resolve(&mut self, index: usize) -> Vec<Service> {
        if let Some(parts) = self.done.get(index).cloned().flatten() {
            return parts;
        }
        self.way.push(index);
        let mut parts = Vec::new();
        let words = self
            .definitions
            .get(index)
            .map(|d| d.words.as_slice())
            .unwrap_or_default();
        for (word, span) in words {
            for part in self.word(word, *span) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        self.way.pop();
        if let Some(slot) = self.done.get_mut(index) {
            *slot = Some(parts.clone());
        }
        parts
    }

    fn word(&mut self, word: &str, span: Span) -> Vec<Service> {
        match self.names.get(word).copied() {
            Some(index) if self.way.contains(&index) => {
                self.cycle(index, span);
                Vec::new()
            }
            Some(_) if self.way.len() > 64 => {
                self.report.error(
                    span,
                    "service-cycle",
                    "services name each other more than 64 deep",
                );
                Vec::new()
            }
            Some(index) => self.resolve(index),
            None => {
                let own = self.names.keys().copied();
                match lookup(word, own, |_| None) {
                    Ok(parts) => parts,
                    Err(error) => {
                        tell(span, error, self.report);
                        Vec::new()
                    }
                }
            }
        }
    }

    fn cycle(&mut self, index: usize, span: Span) {
        let from = self.way.iter().position(|step| *step == index).unwrap_or(0);
        let steps = self.way.iter().skip(from).chain([&index]);
        let names: Vec<&str> = steps
            .filter_map(|step| self.definitions.get(*step))
            .map(|d| d.name)
            .collect();
        let message = format!(
            "services name each other in a circle: {}",
            names.join(" -> ")
        );
        self.report.error(span, "service-cycle", message);
    }
}

/// An own service may take a built-in name (so that a longer built-in table breaks no file), but says so.
fn warn_replaced(cx: &mut Cx<'_>) {
    for service in &cx.services {
        let Some(mut standard) = services::built_in(&service.name) else {
            continue;
        };
        let mut own = service.parts.clone();
        own.sort_unstable();
        standard.sort_unstable();
        if own != standard {
            let message = format!(
                "`{}` here is not the built-in service of that name",
                service.name
            );
            let help = "in this policy yours counts; another name avoids surprise";
            cx.report
                .warn(service.span, "service-replaced", message, help);
        }
    }
}

/// All parts of a service word: a protocol and port, an own name, or a built-in one.
pub fn lookup<'w>(
    word: &str,
    own_names: impl Iterator<Item = &'w str>,
    own: impl Fn(&str) -> Option<Vec<Service>>,
) -> Result<Vec<Service>, ServiceError> {
    if let Some(parts) = own(word) {
        return Ok(parts);
    }
    if let Some(part) = services::word(word)? {
        return Ok(vec![part]);
    }
    services::built_in(word).ok_or_else(|| unknown(word, own_names))
}

fn unknown<'w>(word: &str, own: impl Iterator<Item = &'w str>) -> ServiceError {
    let built_in = services::built_in_names().map(|name| -> &'w str { name });
    let known: Vec<&'w str> = own.chain(built_in).collect();
    let bare = word.trim_start_matches(['@', '!', '$']);
    let help = match walk::close(bare, known) {
        Some(best) => format!("did you mean `{best}`?"),
        None if matches!(word, "any" | "all" | "*") => "leave the key out to mean every service".into(),
        None => "write tcp/443, udp/8000-8100, icmp/echo-request, or a name; `ringwall policy services` lists the built-in ones".into(),
    };
    ServiceError {
        code: "unknown-service",
        message: format!("unknown service `{word}`"),
        help: Some(help),
    }
}

/// Reports a fault of a service word.
pub fn tell(span: Span, error: ServiceError, report: &mut Report<'_>) {
    match error.help {
        Some(help) => report.error_help(span, error.code, error.message, help),
        None => report.error(span, error.code, error.message),
    }
}

/// The parts of a service named in a policy with these own services.
pub fn parts(word: &str, own: &[NamedService]) -> Result<Vec<Service>, ServiceError> {
    let find = |name: &str| own.iter().find(|s| s.name == name).map(|s| s.parts.clone());
    lookup(word, own.iter().map(|s| s.name.as_str()), find)
}

/// `services` of a rule: the parts, and the words for listings.
pub fn of_rule(node: &Node, cx: &mut Cx<'_>) -> (Vec<Service>, Vec<String>) {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    let items = walk::filled_list(node, "services", &mut cx.report).unwrap_or_default();
    for item in items {
        let Some(word) = walk::text(item, "a service such as tcp/443, or a name", &mut cx.report)
        else {
            continue;
        };
        words.push(word.to_owned());
        match parts(word, &cx.services) {
            Ok(parts) => all.extend(parts),
            Err(error) => tell(item.span, error, &mut cx.report),
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|part| seen.insert(*part));
    (all, words)
}
