//! The auxiliary branch of YOLOv9-E: maps from several depths, added (arXiv 2402.13616).

use super::loader::{Block, Conv, Loader};
use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;
use crate::layers::FeatureMap;

/// `CBLinear`: a convolution whose channels are several maps.
pub(super) struct Spread {
    conv: Conv,
    /// The channels of each map.
    pub(super) widths: Vec<usize>,
}

impl Spread {
    pub(super) fn load(
        loader: &Loader<'_>,
        in_channels: usize,
        widths: Vec<usize>,
    ) -> Result<Self, Error> {
        let (conv, outputs) = loader.plain("conv", in_channels)?;
        let all = widths
            .iter()
            .fold(0_usize, |all, width| all.saturating_add(*width));
        if all != outputs {
            let reason = format!("gives {outputs} channels, which are not {widths:?}");
            return Err(Error::bad_input(loader.scope.name(), reason));
        }
        Ok(Self { conv, widths })
    }

    pub(super) fn forward(&self, x: &FeatureMap) -> Result<Vec<FeatureMap>, Error> {
        let y = self.conv.forward(x)?;
        let mut first = 0;
        let parts = self.widths.iter().map(|&width| {
            let part = y.channels(first, width);
            first += width;
            part
        });
        parts.collect()
    }
}

/// `CBFuse`: one map of each of several spreads, enlarged to the size of the last input, and added
/// to it.
pub(super) struct Fuse {
    /// Which map of each spread.
    pub(super) picks: Vec<usize>,
}

impl Fuse {
    /// The numbers of the maps, one for each of the `spreads`, the inputs but the last.
    pub(super) fn read(
        checker: &ConfigChecker,
        field: &str,
        picks: &serde_json::Value,
        spreads: usize,
    ) -> Result<Self, Error> {
        let numbers = |value: &serde_json::Value| usize::try_from(value.as_u64()?).ok();
        let picks = picks
            .as_array()
            .and_then(|list| list.iter().map(numbers).collect());
        let picks: Option<Vec<usize>> = picks;
        match picks.filter(|picks| picks.len() == spreads) {
            Some(picks) => Ok(Self { picks }),
            None => Err(checker.error(field, "must list a number of a map for each input")),
        }
    }

    pub(super) fn forward(
        &self,
        name: &str,
        inputs: &[&[FeatureMap]],
    ) -> Result<FeatureMap, Error> {
        let bad = |reason: &str| Error::bad_input(name, reason);
        let Some(([last], spreads)) = inputs.split_last() else {
            return Err(bad("the last input must be one map"));
        };
        let mut sum = last.clone();
        let shape = last.shape()?;
        for (maps, pick) in spreads.iter().zip(&self.picks) {
            let map = maps
                .get(*pick)
                .ok_or_else(|| bad("an input has too few maps"))?;
            let of_map = map.shape()?;
            let times = shape.height / of_map.height.max(1);
            if of_map.height * times != shape.height || of_map.width * times != shape.width {
                return Err(bad("an input cannot be enlarged by a whole factor"));
            }
            sum = sum.plus(&map.repeated(times)?)?;
        }
        Ok(sum)
    }
}
