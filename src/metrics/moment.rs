//! Values of the moment, and the form that they have beside what is counted.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::state::App;

/// Whether a value only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows from zero at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What stands above the values of a metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// One label of one value.
pub(super) type Label = Option<(&'static str, &'static str)>;

/// A metric with its values. There must be at least one.
pub(super) fn family(head: Head, values: impl IntoIterator<Item = (Label, f64)>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(head.name.to_owned());
    family.set_help(head.help.to_owned());
    family.set_field_type(match head.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    family.set_metric(values.into_iter().map(|(label, value)| metric(head.kind, label, value)).collect());
    family
}

fn metric(kind: Kind, label: Label, value: f64) -> Metric {
    let mut metric = Metric::default();
    if let Some((name, value)) = label {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        metric.set_label(vec![pair]);
    }
    match kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

/// What is so at this moment, outside the actors.
#[allow(clippy::cast_precision_loss)] // counts that are far below 2^53
pub(super) fn families(app: &App) -> Vec<MetricFamily> {
    let gauge = |name, help, value: f64| family(Head { name, kind: Kind::Gauge, help }, [(None, value)]);
    let certificate = app.config.tls.as_ref().map(|shown| {
        gauge(
            "gatehouse_tls_certificate_expires_at_seconds",
            "Until when the certificate that is shown is good, in seconds since 1970.",
            shown.not_after() as f64 / 1000.0,
        )
    });
    let always = [
        gauge(
            "gatehouse_http_requests_in_flight",
            "Requests that are being served; the scrape itself is one when it comes to the public port.",
            app.traffic.in_flight() as f64,
        ),
        gauge(
            "gatehouse_event_streams_open",
            "Event streams that organizations hold open.",
            app.event_streams.count() as f64,
        ),
        gauge(
            "gatehouse_draining",
            "1 once the process was asked to stop.",
            f64::from(u8::from(app.is_draining())),
        ),
        gauge(
            "gatehouse_connections_open",
            "Connections to the public port, those in a TLS handshake among them.",
            app.connections.count() as f64,
        ),
    ];
    always.into_iter().chain(certificate).collect()
}
