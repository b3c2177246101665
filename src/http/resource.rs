//! A resource of the route table: its methods, who may use each, and 405 with `Allow` for every other.

use actix_web::dev::Handler;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, HttpResponse, Resource, Responder, Route};

use super::caller::Arguments;
use crate::error::{Code, Error, More};
use crate::metrics::requests::Requests;

/// One line of the route table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The address, with its parameters in braces.
    pub path: &'static str,
    /// The method.
    pub method: &'static str,
    /// Who may call, as the handler's signature says.
    pub caller: &'static str,
}

/// A path with its handlers.
pub struct At {
    path: &'static str,
    routes: Vec<(Entry, Route)>,
}

/// Starts a resource at `path`.
#[must_use]
pub fn at(path: &'static str) -> At {
    At { path, routes: Vec::new() }
}

impl At {
    /// Answers GET.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: Arguments + FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with("GET", Args::CALLER, web::get().to(handler))
    }

    /// Answers POST.
    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: Arguments + FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with("POST", Args::CALLER, web::post().to(handler))
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: Arguments + FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with("PATCH", Args::CALLER, web::patch().to(handler))
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: Arguments + FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with("DELETE", Args::CALLER, web::delete().to(handler))
    }

    fn with(mut self, method: &'static str, caller: &'static str, route: Route) -> At {
        self.routes.push((Entry { path: self.path, method, caller }, route));
        self
    }

    /// The lines of this resource.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.routes.iter().map(|(entry, _)| *entry)
    }

    fn into_resource(self, requests: &Requests) -> Resource {
        let methods: Vec<&str> = self.entries().map(|entry| entry.method).collect();
        let allow = methods.join(", ");
        let resource = self
            .routes
            .into_iter()
            .fold(web::resource(self.path), |resource, (_, route)| resource.route(route))
            // Who looks after the request finds here which route it was, without matching its path once more.
            .app_data(requests.route(self.path));
        resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move {
                let message = format!("This address answers {allow} only.");
                let error = Error {
                    more: Some(Box::new(More { allow: Some(allow), ..More::default() })),
                    ..Error::new(Code::MethodNotAllowed, message)
                };
                Err::<HttpResponse, _>(error)
            }
        }))
    }
}

/// Makes a table's resources answer.
pub fn mount(cfg: &mut ServiceConfig, requests: &Requests, table: Vec<At>) {
    for resource in table {
        cfg.service(resource.into_resource(requests));
    }
}
