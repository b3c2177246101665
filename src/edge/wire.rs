//! The stream that actix-http reads and writes: TCP, with or without TLS, that ends when its [`Pace`] says so.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Instant, Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::pace::Pace;
use crate::throttle::connections::Place;

/// The TCP side, which tells the pace what comes and goes. Below TLS, so that a record that arrives in pieces, or leaves
/// in pieces, counts as progress.
pub(super) struct Watched {
    socket: TcpStream,
    pace: Rc<Pace>,
    _place: Place,
}

/// A connection as actix-http sees it.
pub(super) struct Wire {
    transport: Transport,
    pace: Rc<Pace>,
    timer: Option<Pin<Box<Sleep>>>,
}

enum Transport {
    Plain(Watched),
    Tls(Box<TlsStream<Watched>>),
}

impl Watched {
    pub(super) fn new(socket: TcpStream, place: Place) -> Self {
        Self { socket, pace: Pace::new(), _place: place }
    }

    fn sent<T>(&self, outcome: &Poll<io::Result<T>>) {
        match outcome {
            Poll::Ready(Ok(_)) => self.pace.taken(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pace.refused(),
        }
    }
}

impl Wire {
    pub(super) fn plain(watched: Watched) -> Self {
        let pace = Rc::clone(&watched.pace);
        Self { transport: Transport::Plain(watched), pace, timer: None }
    }

    pub(super) fn tls(stream: TlsStream<Watched>) -> Self {
        let pace = Rc::clone(&stream.get_ref().0.pace);
        pace.rest();
        Self { transport: Transport::Tls(Box::new(stream)), pace, timer: None }
    }

    pub(super) fn pace(&self) -> Rc<Pace> {
        Rc::clone(&self.pace)
    }

    fn transport(&mut self) -> Pin<&mut dyn Stream> {
        match &mut self.transport {
            Transport::Plain(watched) => Pin::new(watched as &mut dyn Stream),
            Transport::Tls(stream) => Pin::new(stream.as_mut() as &mut dyn Stream),
        }
    }

    /// Whether the moment has come. If not, the task is woken by then.
    fn is_past(&mut self, moment: Option<Instant>, context: &mut Context<'_>) -> bool {
        let Some(moment) = moment else { return false };
        if Instant::now() >= moment {
            return true;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        // One that is early makes us look again and no more, so on a busy connection it is hardly ever set anew.
        if timer.deadline() > moment {
            timer.as_mut().reset(moment);
        }
        if timer.as_mut().poll(context).is_pending() {
            return false;
        }
        timer.as_mut().reset(moment);
        timer.as_mut().poll(context).is_ready()
    }

    /// A peer that takes nothing for too long is cut off in the middle of an answer.
    fn bounded<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_pending() && self.is_past(self.pace.cut_at(), context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = self.transport().poll_read(context, buffer);
        let ends_at = self.pace.ends_at();
        if outcome.is_pending() && self.is_past(ends_at, context) {
            // The end of what is read makes actix-http close in good order, with TLS's own farewell.
            return Poll::Ready(Ok(()));
        }
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.transport().poll_write(context, bytes);
        self.bounded(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.transport().poll_flush(context);
        self.bounded(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.transport().poll_shutdown(context);
        self.bounded(outcome, context)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.heard();
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.sent(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.sent(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
