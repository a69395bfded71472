//! Sockets (written next).
