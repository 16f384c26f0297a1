use std::path::PathBuf;

use serde_json::Value;

use super::RECEIPT;
use crate::downloads::sha256;

/// The files of a bundle, which tests change and pack again.
#[derive(Clone)]
pub(super) struct Parts(Vec<(String, Vec<u8>)>);

impl Parts {
    pub(super) fn read(path: PathBuf) -> Self {
        let mut parts = Vec::new();
        let mut tar = tar::Archive::new(std::fs::File::open(path).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut contents).unwrap();
            parts.push((name, contents));
        }
        Self(parts)
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, contents) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            // Written raw: the tar crate would refuse a name that leaves the directory.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, contents.as_slice()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    pub(super) fn get(&mut self, name: &str) -> &mut Vec<u8> {
        let part = self.0.iter_mut().find(|(n, _)| n == name);
        &mut part.unwrap_or_else(|| panic!("no {name}")).1
    }

    pub(super) fn with(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.0.push((name.into(), contents.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.get(name);
        self.0.retain(|(n, _)| n != name);
        self
    }

    pub(super) fn flipped(mut self, name: &str, at: usize) -> Self {
        self.get(name)[at] ^= 1;
        self
    }

    /// Changes a JSON file.
    pub(super) fn json(mut self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let part = self.get(name);
        let mut value = serde_json::from_slice(part).unwrap();
        change(&mut value);
        *part = serde_json::to_vec(&value).unwrap();
        self
    }

    /// Updates the digests of the index to the present files, as a forger would.
    pub(super) fn forged(self) -> Self {
        let mut files: Vec<_> = self
            .0
            .iter()
            .filter_map(|(name, bytes)| Some((name.strip_prefix("snapshot/")?, bytes)))
            .collect();
        files.sort();
        let rows: String = files
            .iter()
            .map(|(name, bytes)| format!("{} {} {name}\n", bytes.len(), sha256(bytes)))
            .collect();
        let tree = sha256(rows.as_bytes());
        let receipt = self.0.iter().find(|(name, _)| name == RECEIPT);
        let receipt = receipt.map(|(_, bytes)| sha256(bytes));
        self.json("bundle.json", |index| {
            index["source"]["tree"] = tree.into();
            if let Some(digest) = receipt {
                index["models"]["modelzoo/digits-cnn@1.0"] = digest.into();
            }
        })
    }
}
