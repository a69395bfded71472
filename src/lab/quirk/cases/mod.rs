//! The cases, a file a subject.

mod ending;
mod form;
mod hold;
mod keys;
mod media;
mod offer;
mod outside;
mod refresh;
mod reliable;
mod route;
mod stream;
mod vendor;

use super::case::Case;

/// All of them, in the order they are told.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [
        outside::CASES,
        offer::CASES,
        hold::CASES,
        refresh::CASES,
        reliable::CASES,
        route::CASES,
        keys::CASES,
        media::CASES,
        form::CASES,
        vendor::CASES,
        ending::CASES,
        stream::CASES,
    ]
    .into_iter()
    .flatten()
}
