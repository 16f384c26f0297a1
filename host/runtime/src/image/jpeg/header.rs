//! The segments before the scans of a JPEG: sizes, tables and colours.

use super::bits::Codes;
use super::color::Colors;
use crate::image::reason::ImageReason;

/// The order in which the coefficients of a block are stored, and what follows it: a run that is
/// too long ends at the last coefficient.
pub(super) const ZIGZAG: [u8; 80] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
    63, 63, 63, 63, 63, 63,
];

/// A component of the image.
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples per unit of the image, each way.
    pub(super) factors: [usize; 2],
    /// The number of its quantisation table.
    pub(super) table: u8,
    /// The steps of its coefficients, from its first scan on.
    pub(super) quant: Option<[u16; 64]>,
}

/// The frame: the image's size and components.
pub(super) struct Frame {
    pub(super) size: [usize; 2],
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// The largest factors.
    pub(super) most: [usize; 2],
}

impl Frame {
    /// Columns and rows of samples of a component.
    pub(super) fn samples(&self, component: &Component) -> [usize; 2] {
        let ([width, height], [across, down]) = (self.size, component.factors);
        let [most_across, most_down] = self.most;
        [
            (width * across).div_ceil(most_across),
            (height * down).div_ceil(most_down),
        ]
    }

    /// Columns and rows of units of which each has all components.
    pub(super) fn units(&self) -> [usize; 2] {
        let [across, down] = self.most;
        let [width, height] = self.size;
        [width.div_ceil(8 * across), height.div_ceil(8 * down)]
    }
}

/// A component of a scan.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Its place among the frame's components.
    pub(super) component: usize,
    /// The numbers of its tables of codes.
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// A scan: some components, and which of their coefficients and bits.
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    pub(super) first: usize,
    pub(super) last: usize,
    /// The bit that an earlier scan ended at; 0 for a first scan.
    pub(super) high: u32,
    /// The bit that this one ends at.
    pub(super) low: u32,
}

/// What the segments say that have been read so far.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) frame: Option<Frame>,
    quant: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Codes>; 4],
    pub(super) ac: [Option<Codes>; 4],
    pub(super) restart: usize,
    jfif: bool,
    /// The transform that Adobe's segment names.
    adobe: Option<u8>,
}

/// What follows a segment.
pub(super) enum Next {
    Segment,
    Scan(Scan),
    End,
}

impl Headers {
    /// Reads the segment of `marker`, whose length is at `at`, which is moved to what follows.
    pub(super) fn segment(
        &mut self,
        file: &[u8],
        at: &mut usize,
        marker: u8,
    ) -> Result<Next, ImageReason> {
        match marker {
            0xd9 => return Ok(Next::End),
            0x01 | 0xd0..=0xd8 => return Ok(Next::Segment),
            _ => {}
        }
        let length: [u8; 2] = crate::image::bytes::array(file, *at)?;
        let end = *at + usize::from(u16::from_be_bytes(length));
        let segment = file.get(*at..end).ok_or(ImageReason::CutOff)?;
        let segment = segment
            .get(2..)
            .ok_or_else(|| damaged("an empty segment"))?;
        *at = end;
        match marker {
            0xc0..=0xc2 => self.frame(segment, marker)?,
            0xc4 => self.codes(segment)?,
            0xc3 | 0xc7 | 0xcb | 0xcf => return Err(unsupported("a lossless JPEG")),
            0xc9 | 0xca | 0xcc | 0xcd | 0xce => {
                return Err(unsupported("a JPEG with arithmetic coding"));
            }
            0xc5 | 0xc6 => return Err(unsupported("a hierarchical JPEG")),
            0xda => return self.scan(segment).map(Next::Scan),
            0xdb => self.quantization(segment)?,
            0xdd => {
                let interval: [u8; 2] = crate::image::bytes::array(segment, 0)?;
                self.restart = u16::from_be_bytes(interval).into();
            }
            0xe0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            _ => {}
        }
        Ok(Next::Segment)
    }

    fn frame(&mut self, segment: &[u8], marker: u8) -> Result<(), ImageReason> {
        if self.frame.is_some() {
            return Err(damaged("two frames"));
        }
        let Some((&[precision, h1, h0, w1, w0, count], rest)) = segment.split_first_chunk() else {
            return Err(damaged("a frame that is too short"));
        };
        if precision != 8 {
            return Err(unsupported(&format!(
                "a JPEG of {precision} bits per sample"
            )));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(unsupported(&format!("a JPEG of {count} components")));
        }
        let (entries, _) = rest.as_chunks::<3>();
        let entries = entries
            .get(..count.into())
            .ok_or_else(|| damaged("too few components"))?;
        let mut components = Vec::new();
        for &[id, factors, table] in entries {
            let factors = [factors >> 4, factors & 15].map(usize::from);
            if table > 3 || factors.iter().any(|factor| !(1..=4).contains(factor)) {
                return Err(damaged("a component that cannot be"));
            }
            components.push(Component {
                id,
                factors,
                table,
                quant: None,
            });
        }
        let larger = |[across, down]: [usize; 2], component: &Component| {
            let [h, v] = component.factors;
            [across.max(h), down.max(v)]
        };
        let most = components.iter().fold([1; 2], larger);
        let whole = |component: &Component| {
            let mut ways = most.iter().zip(component.factors);
            ways.all(|(most, factor)| most % factor == 0)
        };
        if !components.iter().all(whole) {
            return Err(unsupported("a JPEG with broken ratios of samples"));
        }
        let [width, height] = [[w1, w0], [h1, h0]].map(|side| u16::from_be_bytes(side).into());
        self.frame = Some(Frame {
            size: [width, height],
            progressive: marker == 0xc2,
            components,
            most,
        });
        Ok(())
    }

    fn codes(&mut self, mut segment: &[u8]) -> Result<(), ImageReason> {
        while let Some((&place, rest)) = segment.split_first() {
            let (counts, rest) = rest
                .split_first_chunk::<16>()
                .ok_or_else(|| damaged("a table of codes that is too short"))?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest
                .split_at_checked(total)
                .filter(|_| total <= 256)
                .ok_or_else(|| damaged("a table of codes that is too short"))?;
            let codes = Codes::new(*counts, symbols);
            let codes = codes.ok_or_else(|| damaged("a table of codes that cannot be"))?;
            let tables = if place < 0x10 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            if place < 0x10 && !codes.within(15) {
                return Err(damaged("a table of codes that cannot be"));
            }
            let table = tables
                .get_mut(usize::from(place & 15))
                .filter(|_| place < 0x20);
            *table.ok_or_else(|| damaged("a table of codes with a wrong number"))? = Some(codes);
            segment = rest;
        }
        Ok(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Result<(), ImageReason> {
        while let Some((&place, rest)) = segment.split_first() {
            let wide = place >> 4 != 0;
            let length = if wide { 128 } else { 64 };
            let (steps, rest) = rest
                .split_at_checked(length)
                .ok_or_else(|| damaged("a quantisation table that is too short"))?;
            let mut table = [0; 64];
            for (index, step) in steps.chunks_exact(length / 64).enumerate() {
                let value = step
                    .iter()
                    .fold(0, |value, &byte| value << 8 | u16::from(byte));
                let natural = ZIGZAG.get(index).copied().unwrap_or_default();
                if let Some(to) = table.get_mut(usize::from(natural)) {
                    *to = value;
                }
            }
            let to = self.quant.get_mut(usize::from(place & 15));
            *to.ok_or_else(|| damaged("a quantisation table with a wrong number"))? = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn scan(&mut self, segment: &[u8]) -> Result<Scan, ImageReason> {
        let frame = self
            .frame
            .as_mut()
            .ok_or_else(|| damaged("a scan before the frame"))?;
        let (&count, rest) = segment
            .split_first()
            .ok_or_else(|| damaged("an empty scan"))?;
        let (parts, rest) = rest
            .split_at_checked(2 * usize::from(count))
            .ok_or_else(|| damaged("a scan that is too short"))?;
        let mut scan = Vec::new();
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let found = frame
                .components
                .iter()
                .position(|component| component.id == id);
            let component =
                found.ok_or_else(|| damaged("a scan of a component that is not there"))?;
            if scan.iter().any(|part: &Part| part.component == component) {
                return Err(damaged("a scan that has a component twice"));
            }
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            scan.push(Part { component, dc, ac });
        }
        let &[first, last, bits] = rest
            .first_chunk()
            .ok_or_else(|| damaged("a scan that is too short"))?;
        let blocks = |part: &Part| {
            let component = frame.components.get(part.component);
            component.map_or(0, |component| component.factors.iter().product())
        };
        if scan.is_empty() || (scan.len() > 1 && scan.iter().map(blocks).sum::<usize>() > 10) {
            return Err(damaged("a scan of too many blocks"));
        }
        for part in &scan {
            if let Some(component) = frame.components.get_mut(part.component)
                && component.quant.is_none()
            {
                let table = self
                    .quant
                    .get(usize::from(component.table))
                    .copied()
                    .flatten();
                component.quant = Some(table.ok_or_else(|| damaged("no quantisation table"))?);
            }
        }
        let (first, last) = (usize::from(first), usize::from(last));
        let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
        if frame.progressive {
            let fits = match first {
                0 => last == 0,
                _ => last >= first && last < 64 && scan.len() == 1,
            };
            if !fits || low > 13 || (high != 0 && high != low + 1) {
                return Err(damaged("a scan that cannot be"));
            }
        }
        Ok(Scan {
            parts: scan,
            first,
            last,
            high,
            low,
        })
    }

    /// What the components are converted to, by libjpeg's rules.
    pub(super) fn colors(&self) -> Colors {
        let ids: Vec<u8> = self
            .frame
            .iter()
            .flat_map(|frame| frame.components.iter().map(|component| component.id))
            .collect();
        match (ids.as_slice(), self.adobe) {
            ([_, _, _], _) if self.jfif => Colors::YCbCrToRgb,
            ([_, _, _], Some(0)) | ([b'R', b'G', b'B'], None) => Colors::AsStored,
            ([_, _, _], _) => Colors::YCbCrToRgb,
            ([_, _, _, _], Some(1..)) => Colors::YcckToInk,
            _ => Colors::AsStored,
        }
    }
}

pub(super) fn damaged(reason: &str) -> ImageReason {
    ImageReason::damaged("JPEG", reason)
}

fn unsupported(what: &str) -> ImageReason {
    ImageReason::unsupported(what)
}
