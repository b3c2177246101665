//! Requests by route, method and class of status. A route is known by its template, so however many addresses are asked
//! for, there are as many series as the route table has lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use actix_web::http::{Method, StatusCode};
use prometheus::{Error, Histogram, HistogramOpts, HistogramVec};

/// What the label says of addresses that no route has.
pub const UNMATCHED: &str = "unmatched";

/// From an answer out of memory to a person's patience.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const METHODS: [&str; 8] = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All routes.
pub struct Requests {
    seconds: HistogramVec,
    routes: Mutex<BTreeMap<&'static str, Route>>,
}

/// One route. Clones count together; each worker has one.
#[derive(Clone)]
pub struct Route(Arc<Counted>);

struct Counted {
    template: &'static str,
    seconds: HistogramVec,
    /// Found by label once and kept: to look a label up takes longer than to count.
    cells: [[OnceLock<Histogram>; CLASSES.len()]; METHODS.len()],
}

impl Requests {
    pub(crate) fn new() -> Result<Self, Error> {
        let help = "Requests, and the time from the end of a request's head to the head of its answer.";
        let options = HistogramOpts::new("gatehouse_http_request_seconds", help).buckets(SECONDS.to_vec());
        let seconds = HistogramVec::new(options, &["route", "method", "status"])?;
        Ok(Self { seconds, routes: Mutex::default() })
    }

    pub(super) fn collector(&self) -> HistogramVec {
        self.seconds.clone()
    }

    /// The route with this template. For the start: it takes a lock.
    pub fn route(&self, template: &'static str) -> Route {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = || Counted { template, seconds: self.seconds.clone(), cells: Default::default() };
        routes.entry(template).or_insert_with(|| Route(Arc::new(counted()))).clone()
    }
}

impl Route {
    /// The address, with its parameters in braces.
    #[must_use]
    pub fn template(&self) -> &'static str {
        self.0.template
    }

    /// A request was answered.
    pub fn answered(&self, method: &Method, status: StatusCode, seconds: f64) {
        let (method, class) = (index_of(method), usize::from(status.as_u16() / 100).saturating_sub(1));
        let (Some(row), Some(method), Some(class_name)) =
            (self.0.cells.get(method), METHODS.get(method), CLASSES.get(class))
        else {
            return;
        };
        if let Some(cell) = row.get(class) {
            let labels = [self.0.template, method, class_name];
            cell.get_or_init(|| self.0.seconds.with_label_values(&labels)).observe(seconds);
        }
    }
}

fn index_of(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PATCH => 2,
        Method::DELETE => 3,
        Method::PUT => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_counts_under_its_own_name_and_unknown_ones_under_one() {
        let requests = Requests::new().unwrap();
        let route = requests.route("/a/{b}");
        let mut methods = METHODS.map(|name| if name == "other" { "BREW" } else { name }).to_vec();
        methods.push("PROPFIND");
        for method in methods {
            let method: Method = method.parse().unwrap();
            requests.route("/a/{b}").answered(&method, StatusCode::OK, 0.001);
            route.answered(&method, StatusCode::from_u16(999).unwrap(), 0.001); // a class that does not exist
        }
        for method in METHODS {
            let count = requests.seconds.with_label_values(&["/a/{b}", method, "2xx"]).get_sample_count();
            assert_eq!(count, if method == "other" { 2 } else { 1 }, "{method}");
        }
    }
}
