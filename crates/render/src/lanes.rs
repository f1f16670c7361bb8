//! Eight pixels at once, written so that the compiler makes vectors of it: fixed arrays and plain loops, no branches.

/// Pixels that are worked on at once. Buffers are read and written in whole lanes, so they have a few elements to spare.
pub const LANES: usize = 8;

/// One value per lane. A loop and not `array::from_fn` or `map`: their closures are compiled apart, without the vector
/// instructions of the function they stand in.
macro_rules! each {
    ($lane:ident => $value:expr) => {{
        let mut values = [Default::default(); $crate::lanes::LANES];
        for $lane in 0..$crate::lanes::LANES {
            values[$lane] = $value;
        }
        values
    }};
}
pub(crate) use each;

/// A function compiled twice: for AVX2, and for any machine of this kind. Each call runs the one this machine can. Both do
/// the same IEEE operations in the same order (nothing is contracted), so their results are the same bytes. In the body, the
/// constant `AVX2` tells which of the two it is.
macro_rules! wide {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $vis fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn any<const AVX2: bool>($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    any::<true>($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature was just detected.
                    return unsafe { avx2($($argument),*) };
                }
            }
            any::<false>($($argument),*)
        }
    };
}
pub(crate) use wide;

/// The lanes of a row from a column on.
#[inline(always)]
pub fn lanes<T>(row: &[T], first: usize) -> &[T; LANES] {
    row[first..].first_chunk().expect("a row has lanes to spare")
}

/// The lanes of a row from a column on, to be written.
#[inline(always)]
pub fn lanes_mut<T>(row: &mut [T], first: usize) -> &mut [T; LANES] {
    row[first..].first_chunk_mut().expect("a row has lanes to spare")
}

/// Put lanes down in a picture that is written from its first pixel to its last; what lies past its end is dropped.
#[inline(always)]
pub fn put<T: Copy>(picture: &mut [T], at: usize, values: [T; LANES]) {
    match picture[at..].first_chunk_mut() {
        Some(lanes) => *lanes = values,
        None => {
            for (to, value) in picture[at..].iter_mut().zip(values) {
                *to = value;
            }
        }
    }
}

/// Which lanes hold `value`, the first in the lowest bit.
#[inline(always)]
pub fn same(lanes: &[u32; LANES], value: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        let (low, high) = (lanes.as_ptr().cast::<__m128i>(), lanes[4..].as_ptr().cast::<__m128i>());
        // SAFETY: every x86-64 has SSE2, and both halves of the lanes may be read.
        unsafe {
            let value = _mm_set1_epi32(value as i32);
            let low = _mm_cmpeq_epi32(_mm_loadu_si128(low), value);
            let high = _mm_cmpeq_epi32(_mm_loadu_si128(high), value);
            let bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
            _mm_movemask_epi8(bytes) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    lanes.iter().enumerate().fold(0, |bits, (k, &lane)| bits | u32::from(lane == value) << k)
}
