//! Bodies of requests as they arrive. actix-web bounds neither how long a body may take nor what becomes of one that
//! the handler did not read, so both are bounded here, for every route.
//!
//! ```text
//! request -> its payload is put behind a shared handle -> handler reads it, until the deadline
//!         <- the answer keeps the handle while it is sent: actix-http sees an unread body and closes the connection
//! ```

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{future::Future, io};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use actix_web::rt::time::{Instant, Sleep, sleep_until};
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage};
use futures_util::Stream;

use super::keeping::Keeping;

/// From the end of the head to the end of the body. Shorter than the drain at a stop, so that no client that dawdles
/// delays one; long enough for the largest body over a bad line.
const DEADLINE: Duration = Duration::from_secs(20);

/// Gives every body a deadline, and every connection whose body was not read an end.
pub async fn bounded(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let body = Body::new(payload, DEADLINE);
    request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
    let response = next.call(request).await?;
    if body.is_complete() {
        return Ok(response.map_into_boxed_body());
    }
    // A chunked body that is dropped would be read and thrown away for as long as the client likes; one that is still
    // held when the answer goes out makes actix-http say `Connection: close` and hang up a second later.
    Ok(response.map_body(|_, answer| BoxBody::new(Keeping::new(answer.boxed(), body))))
}

/// The body of one request, shared by the handler that reads it and the answer that outlives the handler.
#[derive(Clone)]
struct Body(Rc<RefCell<Arriving>>);

struct Arriving {
    payload: Payload,
    deadline: Instant,
    /// Made when the body has to be waited for: most bodies came with their head.
    alarm: Option<Pin<Box<Sleep>>>,
    complete: bool,
}

impl Arriving {
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        alarm.as_mut().poll(context).is_ready()
    }
}

impl Body {
    fn new(payload: Payload, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self(Rc::new(RefCell::new(Arriving { payload, deadline, alarm: None, complete: false })))
    }

    fn is_complete(&self) -> bool {
        self.0.borrow().complete
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut arriving = self.0.borrow_mut();
        let next = Pin::new(&mut arriving.payload).poll_next(context);
        match next {
            Poll::Ready(None) => arriving.complete = true,
            Poll::Pending if arriving.is_late(context) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body takes too long");
                return Poll::Ready(Some(Err(PayloadError::Io(late))));
            }
            Poll::Ready(Some(_)) | Poll::Pending => {}
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use actix_web::rt::time::sleep;
    use futures_util::{StreamExt, stream};

    use super::*;

    fn payload(chunks: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> Payload {
        Payload::Stream { payload: Box::pin(chunks) }
    }

    #[actix_web::test]
    async fn a_body_that_arrives_is_read_as_it_is() {
        let chunks = stream::iter([Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let mut body = Body::new(payload(chunks), Duration::from_mins(1));
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        assert!(!body.is_complete());
        assert_eq!(body.next().await.unwrap().unwrap(), "b");
        assert!(body.next().await.is_none());
        assert!(body.is_complete());
    }

    #[actix_web::test]
    async fn a_body_that_trickles_ends_at_the_deadline_however_often_a_byte_comes() {
        let trickle = stream::unfold((), |()| async {
            sleep(Duration::from_millis(5)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        let mut body = Body::new(payload(trickle), Duration::from_millis(50));
        let error = loop {
            if let Err(error) = body.next().await.unwrap() {
                break error;
            }
        };
        assert!(matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut));
        assert!(!body.is_complete());
    }
}
