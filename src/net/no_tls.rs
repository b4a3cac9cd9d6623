//! In place of `tls` in a build without it: a connection that is never there.

use super::socket::Socket;
use super::stream::Flushed;
use std::io::{self, IoSlice};
use std::time::Duration;

pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn read(&self, _: &Socket, _: &mut [u8], _: Duration) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn try_read(&self, _: &Socket, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn has_plaintext(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn try_write(&self, _: &Socket, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn flush(&self, _: &Socket) -> io::Result<Flushed> {
        match *self {}
    }

    pub(crate) fn close(&self, _: &Socket) {
        match *self {}
    }
}
