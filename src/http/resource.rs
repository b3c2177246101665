//! A resource of the route table: its methods, and 405 with `Allow` for every other.

use actix_web::dev::Handler;
use actix_web::{FromRequest, Resource, Responder, Route, web};

use crate::error::{Code, Error};

/// A path with its handlers.
pub struct At {
    resource: Resource,
    allow: Vec<&'static str>,
}

/// Starts a resource at `path`.
#[must_use]
pub fn at(path: &str) -> At {
    At { resource: web::resource(path), allow: Vec::new() }
}

impl At {
    /// Answers GET.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route("GET", web::get().to(handler))
    }

    /// Answers POST.
    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route("POST", web::post().to(handler))
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route("PATCH", web::patch().to(handler))
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete<F, Args>(self, handler: F) -> At
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route("DELETE", web::delete().to(handler))
    }

    fn route(mut self, method: &'static str, route: Route) -> At {
        self.allow.push(method);
        At { resource: self.resource.route(route), allow: self.allow }
    }

    /// The finished resource.
    #[must_use]
    pub fn done(self) -> Resource {
        let allow = self.allow.join(", ");
        self.resource.default_service(web::to(move || {
            let error = Error {
                allow: Some(allow.as_str().into()),
                ..Error::new(Code::MethodNotAllowed, format!("This address answers {allow} only."))
            };
            async move { Err::<actix_web::HttpResponse, _>(error) }
        }))
    }
}
