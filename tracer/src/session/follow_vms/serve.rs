//! Serves what is on the board over HTTP. In a thread and an event loop of its own, with few connections at once and little
//! patience for each: who is slow, or many, waits for the others and never holds up the tracer.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use super::board::Board;

/// Connections at once.
const MOST: usize = 16;
/// How long a client may take for its question.
const QUESTION: Duration = Duration::from_secs(5);
/// How long for all of it.
const CONNECTION: Duration = Duration::from_secs(20);
/// Before another attempt where there is no descriptor for a connection.
const BREATH: Duration = Duration::from_millis(100);

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HELP: &str = "vmhop watch: the figures are at /metrics\n";

/// Listens at `address` from now on; gives the address that it got.
///
/// # Errors
/// The port is in use, or the address is not this host's.
pub(super) fn start(address: SocketAddr, board: Arc<Board>) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address).with_context(|| {
        format!(
            "failed to listen at {address}: if another program, such as another vmhop watch, has it, name another with \
             --listen, or print the figures with --print"
        )
    })?;
    listener.set_nonblocking(true).context("failed to set up the listening socket")?;
    let address = listener.local_addr().context("failed to read the address of the listening socket")?;
    if !address.ip().is_loopback() {
        log::warn!(
            "whoever reaches {address} reads the names of VMs, devices and hosts: there is no password"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the event loop of the server")?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener).context("failed to set up the listening socket")?
    };
    let work = move || runtime.block_on(serve(&listener, board));
    thread::Builder::new().name("metrics".to_owned()).spawn(work).context("failed to start the server")?;
    Ok(address)
}

async fn serve(listener: &TcpListener, board: Arc<Board>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::info!("a connection could not be taken: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let board = board.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &board);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(QUESTION).keep_alive(false);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(CONNECTION, connection).await {
                log::debug!("a connection failed: {error}");
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => match board.text() {
            Ok(text) => with(StatusCode::OK, METRICS, text.into()),
            Err(error) => {
                log::warn!("the figures cannot be written: {error}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be written\n")
            }
        },
        "/" => plain(StatusCode::OK, HELP),
        _ => plain(StatusCode::NOT_FOUND, HELP),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with(status, TEXT, Bytes::from_static(text.as_bytes()))
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
