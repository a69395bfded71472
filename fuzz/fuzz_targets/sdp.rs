//! A body of any octets is answered or refused, and what is answered can be read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit::sdp::{Session, Srtp, Wish, accept, answer, extract, media_addresses, offer};

fuzz_target!(|body: &[u8]| {
    let wish = Wish { srtp: Srtp::Optional, ..Wish::new(([192, 0, 2, 1], 40_000).into()) };
    for content_type in ["application/sdp", "multipart/mixed", "multipart/mixed;boundary=b"] {
        let _ = extract(body, content_type);
        let _ = media_addresses(body, content_type, Srtp::Optional);

        let mut ours = Session::new(7);
        let _ = offer(&mut ours, &wish);
        let _ = accept(body, content_type, &mut ours);

        let Ok(answered) = answer(body, content_type, &wish, &Session::new(7)) else { continue };
        let mut session = Session::new(7);
        let text = session.render(&answered.sdp);
        assert_eq!(session.render(&answered.sdp), text, "an equal description has an equal version");
        if text.len() > 16 * 1024 {
            continue; // longer than the offer by our own lines, and so than what is read
        }
        let peer = Wish { srtp: Srtp::Optional, ..Wish::new(([192, 0, 2, 2], 40_002).into()) };
        let read_back =
            answer(text.as_bytes(), "application/sdp", &peer, &Session::new(7)).expect("our own answer is well formed");
        assert_eq!(read_back.media.law, answered.media.law);
        let _ = offer(&mut session, &wish);
    }
});
