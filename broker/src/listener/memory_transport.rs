//! A connection within a test: what one side writes, the other reads, without a socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::transport::Transport;

/// Bytes that one direction holds, about as many as sockets do.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: BytesMut,
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_closed || !self.bytes.is_empty() {
            return Poll::Ready(());
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_closed || self.bytes.len() < PIPE_BYTES_MAX {
            return Poll::Ready(());
        }
        self.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn read(&mut self, bytes_max: usize) -> io::Result<BytesMut> {
        if self.bytes.is_empty() && !self.is_closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writer.take().into_iter().for_each(Waker::wake);
        let count = self.bytes.len().min(bytes_max);
        Ok(self.bytes.split_to(count))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(PIPE_BYTES_MAX - self.bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.extend_from_slice(&bytes[..count]);
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(count)
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One side of a connection; the other side reads its end once it is dropped.
pub(super) struct MemoryTransport {
    input: Arc<Mutex<Pipe>>,
    output: Arc<Mutex<Pipe>>,
}

impl MemoryTransport {
    /// Both sides of a connection.
    pub(super) fn pair() -> (MemoryTransport, MemoryTransport) {
        let (there, back) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
        let near = MemoryTransport { input: Arc::clone(&back), output: Arc::clone(&there) };
        (near, MemoryTransport { input: there, output: back })
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.input.lock().close();
        self.output.lock().close();
    }
}

/// The broker's side.
impl Transport for MemoryTransport {
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.lock().poll_readable(context).map(Ok)
    }

    fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.lock().poll_writable(context).map(Ok)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let read = self.input.lock().read(buffer.capacity() - buffer.len())?;
        buffer.extend_from_slice(&read);
        Ok(read.len())
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.output.lock().write(slices.first().map_or(&[], |slice| slice))
    }
}

/// The client's side, for tests that read and write as with a socket.
impl AsyncRead for MemoryTransport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut input = self.input.lock();
        std::task::ready!(input.poll_readable(context));
        buffer.put_slice(&input.read(buffer.remaining())?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemoryTransport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut output = self.output.lock();
        std::task::ready!(output.poll_writable(context));
        Poll::Ready(output.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.lock().close();
        Poll::Ready(Ok(()))
    }
}
