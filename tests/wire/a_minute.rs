//! What takes a minute: RFC 4028 knows no session shorter than 90 s. By its name it is begun first, beside all others.

use crate::kit::beside;
use crate::scenes::{BYE, Exchange};
use crate::sipp::Scene;

#[test]
fn a_session_is_refreshed_by_us_and_ends_when_the_pbx_forgets_it() {
    beside(&["sipp"], async {
        let exchange = Exchange::with_trunk("media_timeout = \"0s\"").await; // it would end it first
        let expired: &[_] = &[("session_expired", 200)];
        exchange.plays(&[(Scene::new("timer_uas"), BYE), (Scene::new("timer_expired"), expired)]).await;
        exchange.close().await;
    });
}
