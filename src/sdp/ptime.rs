//! How much audio one packet holds (RFC 8866 §6.4, sip-trunk.md section 10).

/// Packet times we send, in milliseconds.
pub const OURS: [u8; 5] = [10, 20, 30, 40, 60];

/// What stands for everything that is not ours.
pub const USUAL: u8 = 20;

/// Milliseconds a packet, from the values of `a=ptime` and `a=maxptime` as the peer wrote them.
pub fn choose(ptime: Option<&str>, maxptime: Option<&str>) -> u8 {
    let asked =
        number(ptime).and_then(|ms| OURS.into_iter().find(|&ours| u32::from(ours) == ms)).unwrap_or(USUAL);
    let Some(most) = number(maxptime) else { return asked };
    if u32::from(asked) <= most {
        return asked;
    }
    OURS.into_iter().rev().find(|&ours| u32::from(ours) <= most).unwrap_or(OURS[0])
}

/// A time above zero; nonsense is as good as nothing.
fn number(value: Option<&str>) -> Option<u32> {
    value?.trim().parse().ok().filter(|&ms| ms > 0)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn ours_are_echoed_and_others_become_twenty() {
        for (ptime, ms) in [
            (Some("10"), 10),
            (Some("20"), 20),
            (Some("30"), 30),
            (Some("40"), 40),
            (Some("60"), 60),
            (Some(" 30 "), 30),
            (None, 20),
            (Some("0"), 20),
            (Some("-20"), 20),
            (Some("50"), 20),
            (Some("150"), 20),
            (Some("99999999999999999999"), 20),
            (Some("twenty"), 20),
            (Some(""), 20),
        ] {
            assert_eq!(choose(ptime, None), ms, "{ptime:?}");
        }
    }

    #[test]
    fn the_largest_of_ours_that_fits_under_maxptime_is_taken() {
        for (ptime, maxptime, ms) in [
            (Some("20"), "150", 20),
            (Some("60"), "40", 40),
            (Some("60"), "35", 30),
            (None, "10", 10),
            (None, "15", 10),
            (Some("30"), "0", 30),
            (Some("30"), "-1", 30),
            (Some("30"), "x", 30),
            (Some("20"), "5", 10),
        ] {
            assert_eq!(choose(ptime, Some(maxptime)), ms, "{ptime:?} under {maxptime}");
        }
    }
}
