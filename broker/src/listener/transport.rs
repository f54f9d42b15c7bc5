//! What carries the bytes of a connection: the seam between its protocol and its socket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use ottla_broker_protocol::FileRange;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes per `sendfile` call, so that one large answer cannot hold a worker for long.
const SENDFILE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a file that are copied per write where the transport, or the file, cannot do without.
const COPY_BYTES_MAX: usize = 64 << 10;

/// Carries bytes both ways without blocking. What cannot be done now fails with [`io::ErrorKind::WouldBlock`]; whoever
/// wants to go on waits for readiness first, which may turn out to have been a false alarm.
///
/// Bytes that were not taken are offered again, beginning with the same one, so that a transport that changes them may
/// take them only once what it made of them is on its way.
pub trait Transport: Send + 'static {
    /// Whether bytes, the end or an error can be read.
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes are taken, or an error is to be had.
    fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has arrived to `buffer`, as far as its capacity goes; 0 means that the peer sends no more.
    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Sends the beginning of `slices`; the count of bytes that were taken.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends the beginning of a file's range; the count of bytes that were taken. A file that ends within the range is
    /// an error: the frame that it is part of cannot be completed.
    fn try_send_file(&mut self, range: &FileRange) -> io::Result<usize> {
        copy_file(self, range)
    }
}

/// A socket without protection. Files with a descriptor are sent without a copy through user space.
impl Transport for TcpStream {
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_read_ready(self, context)
    }

    fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_write_ready(self, context)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }

    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn try_send_file(&mut self, range: &FileRange) -> io::Result<usize> {
        let Some(descriptor) = range.file.as_fd() else { return copy_file(self, range) };
        let mut position = range.position;
        let len = range.len.min(SENDFILE_BYTES_MAX);
        let sent = self.try_io(Interest::WRITABLE, || {
            rustix::fs::sendfile(&*self, descriptor, Some(&mut position), len).map_err(io::Error::from)
        })?;
        if sent == 0 {
            // It was truncated under the reader.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(sent)
    }
}

/// Sends the beginning of a file's range by a copy.
fn copy_file<T: Transport + ?Sized>(transport: &mut T, range: &FileRange) -> io::Result<usize> {
    let mut buffer = vec![0; range.len.min(COPY_BYTES_MAX)];
    range.file.read_exact_at(&mut buffer, range.position)?;
    transport.try_write(&[IoSlice::new(&buffer)])
}
