//! The instruction sets that the CPU has.

use std::sync::OnceLock;

/// An instruction set that this CPU has: a value of this type is the proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    /// The target's baseline (SSE2, NEON), as the compiler uses it.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best set that this CPU has.
    pub fn detect() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            Self::available()
                .last()
                .copied()
                .unwrap_or(Self(Level::Portable))
        })
    }

    /// All sets that this CPU has, the best last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "on some targets there is only one")]
        let mut found = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self(Level::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    found.push(Self(Level::Avx512));
                }
            }
        }
        found
    }

    /// `avx512`, `avx2` or `portable`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    pub(crate) const fn level(self) -> Level {
        self.0
    }

    /// Runs `work` compiled for these instructions, as far as it is inlined.
    #[inline]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.run_with(
            #[inline(always)]
            |_| work(),
        )
    }

    /// As [`run`](Self::run), with the multiply-add of these instructions.
    #[inline]
    pub(crate) fn run_with<R>(self, work: impl FnOnce(MultiplyAdd) -> R) -> R {
        match self.0 {
            Level::Portable => work(MultiplyAdd::Apart),
            // SAFETY: `available` makes a value of this level only where the CPU has the features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512(work) },
        }
    }
}

/// How `a * b + c` is computed; a constant wherever it is inlined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MultiplyAdd {
    /// As a product and a sum: without an instruction for both, `mul_add` would be a function call.
    Apart,
    /// With one instruction, rounded once.
    #[cfg(target_arch = "x86_64")]
    Fused,
}

impl MultiplyAdd {
    /// `a * b + c`.
    #[inline(always)]
    pub(crate) fn of(self, a: f32, b: f32, c: f32) -> f32 {
        match self {
            Self::Apart => a * b + c,
            #[cfg(target_arch = "x86_64")]
            Self::Fused => a.mul_add(b, c),
        }
    }

    /// The polynomial with these coefficients, that of the highest power first, at `x`.
    #[inline(always)]
    pub(crate) fn polynomial<const N: usize>(self, x: f32, coefficients: [f32; N]) -> f32 {
        let mut sum = 0.0;
        for (at, coefficient) in coefficients.into_iter().enumerate() {
            sum = if at == 0 {
                coefficient
            } else {
                self.of(sum, x, coefficient)
            };
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(work: impl FnOnce(MultiplyAdd) -> R) -> R {
    work(MultiplyAdd::Fused)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
fn avx512<R>(work: impl FnOnce(MultiplyAdd) -> R) -> R {
    work(MultiplyAdd::Fused)
}
