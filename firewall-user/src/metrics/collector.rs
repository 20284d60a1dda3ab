//! Families as the exposition library takes them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::family::{Family, Kind, Sample, Value};

/// The families of one scrape.
#[derive(Debug)]
pub(super) struct Scrape(pub(super) Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &family.samples {
                encode(family, sample, &mut metric)?;
            }
        }
        Ok(())
    }
}

fn encode(
    family: &Family,
    (labels, value): &Sample,
    metric: &mut MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    if labels.is_empty() {
        return number(family.kind, *value, metric);
    }
    let names = family.labels.iter().copied();
    let pairs: Vec<(&str, &str)> = names.zip(labels.iter().map(String::as_str)).collect();
    number(family.kind, *value, &mut metric.encode_family(&pairs)?)
}

fn number(kind: Kind, value: Value, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match (kind, value) {
        (Kind::Counter, Value::Whole(v)) => metric.encode_counter::<NoLabelSet, _, u64>(&v, None),
        (Kind::Counter, Value::Real(v)) => metric.encode_counter::<NoLabelSet, _, u64>(&v, None),
        (Kind::Gauge, Value::Whole(v)) => metric.encode_gauge(&v),
        (Kind::Gauge, Value::Real(v)) => metric.encode_gauge(&v),
    }
}
