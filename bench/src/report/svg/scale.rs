//! From a figure to a place on an axis, and where the axis has its ticks.

/// How an axis goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0, evenly.
    Linear,
    /// Each decade as wide as the next.
    Logarithmic,
}

/// How many ticks an even axis has at most.
const TICKS_MAX: f64 = 6.0;

/// An axis for certain figures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// For figures up to `max`, of which the smallest above zero is `min`.
    pub(super) fn new(scale: Scale, min: f64, max: f64) -> Self {
        let usable = min > 0.0 && max > 0.0;
        match scale {
            Scale::Logarithmic if usable => {
                // The least has some length as well.
                let low = 10_f64.powf((min / 2.0).log10().floor());
                // At least one decade: an axis without length places nothing.
                let high = 10_f64.powf(max.log10().ceil()).max(low * 10.0);
                Self { scale, low, high }
            }
            _ => {
                let max = if max > 0.0 { max } else { 1.0 };
                let step = step(max);
                Self { scale: Scale::Linear, low: 0.0, high: (max / step).ceil() * step }
            }
        }
    }

    /// Where a figure is, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic if value <= self.low => 0.0,
            Scale::Logarithmic => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = step(self.high);
                let count = (self.high / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.high / self.low).log10().round() as i32;
                (0..=decades).map(|decade| self.low * 10_f64.powi(decade)).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten.
fn step(max: f64) -> f64 {
    let raw = max / TICKS_MAX;
    let power = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|&step| step >= raw * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_axis_begins_at_zero_and_has_round_ticks() {
        let axis = Axis::new(Scale::Linear, 5_400.0, 210_000.0);
        assert_eq!(axis.ticks(), [0.0, 50_000.0, 100_000.0, 150_000.0, 200_000.0, 250_000.0]);
        assert_eq!(axis.place(0.0), 0.0);
        assert_eq!(axis.place(125_000.0), 0.5);
        assert_eq!(axis.place(1e9), 1.0);
    }

    #[test]
    fn a_logarithmic_axis_has_decades() {
        let axis = Axis::new(Scale::Logarithmic, 2_012.0, 247_000.0);
        assert_eq!(axis.ticks(), [1e3, 1e4, 1e5, 1e6]);
        assert!((axis.place(10_000.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
        let near_a_decade = Axis::new(Scale::Logarithmic, 1_012.0, 247_000.0);
        assert_eq!(near_a_decade.ticks()[0], 100.0, "the least is to be seen");
    }

    #[test]
    fn figures_that_are_all_zero_still_have_an_axis() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let axis = Axis::new(scale, 0.0, 0.0);
            assert_eq!(axis.place(0.0), 0.0);
            assert!(axis.ticks().len() > 1);
        }
        let one = Axis::new(Scale::Logarithmic, 300.0, 300.0);
        assert_eq!(one.ticks(), [100.0, 1_000.0]);
    }
}
