//! pipecat, as its users install it, behind `streamkit serve` and sipp: docs/examples/pipecat_echo.py at every rate.

use futures_util::future::join_all;

use crate::examples::{Example, Served, echoes, installed};
use crate::kit::{beside, eventually};

const CALLS: [(&str, u32); 3] = [("01508", 8000), ("01516", 16_000), ("01524", 24_000)];

#[test]
fn pipecat_echoes_a_call_at_every_rate() {
    let Some(python) = installed() else { return };
    beside(&["sipp"], async {
        let served = ["-m", "uvicorn", "--port", "0", "--app-dir", "docs/examples", "pipecat_echo:app"];
        let mut bot = Example::start(&python, &served);
        let at = bot.says("running on http://").await;
        let route = |(number, rate)| (number, format!("ws://{at}/media?sample-rate={rate}&agent=echo"));
        let served = Served::start(&CALLS.map(route)).await;
        let cdrs = join_all(CALLS.map(|(number, _)| echoes(&served, number))).await;
        served.stop().await;
        for ((number, rate), cdr) in CALLS.iter().zip(cdrs) {
            assert_eq!(cdr["streams"][0]["sample_rate"], *rate, "{cdr:#}");
            let told = format!("from sip:08061234509 to {number} at {rate} Hz");
            assert!(bot.said().contains(&told), "{told}: {}", bot.said());
        }
        let over = "finished running";
        eventually("the end of every call", || bot.said().matches(over).count() == CALLS.len()).await;
        bot.assert_content();
    });
}
