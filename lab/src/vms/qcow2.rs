//! Empty disk images that lie over a base image (QEMU's `docs/interop/qcow2.txt`): what a machine writes goes into the
//! image, what it has not written is read from the base. Written by hand, as `qemu-img` is in another package and does no
//! more than this here.

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// How much of the disk one entry of the first table stands for: a second table is a cluster of 8-byte entries.
const BYTES_PER_L1_ENTRY: u64 = CLUSTER / 8 * CLUSTER;

/// Longest name of a base that QEMU reads.
const BASE_NAME_MAX: usize = 1023;

/// An image of `disk_bytes` over the raw image at `base`: four clusters of 64 KiB (header, table of reference counts, one
/// block of them, first table), up to a disk of 4 TiB.
///
/// # Errors
/// In words, when the base's name is too long or the disk too big.
pub(crate) fn over(base: &str, disk_bytes: u64) -> Result<Vec<u8>, String> {
    let entries = disk_bytes.div_ceil(BYTES_PER_L1_ENTRY);
    if base.len() > BASE_NAME_MAX {
        return Err(format!("the base's name has {} bytes, more than {BASE_NAME_MAX}", base.len()));
    }
    if entries > CLUSTER / 8 {
        return Err(format!("a disk of {disk_bytes} bytes is too big"));
    }
    let mut image = vec![0_u8; 4 * CLUSTER as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        image[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    // Header of version 3; extensions (the base's format, then the end) and the base's name follow it.
    const HEADER: u32 = 104;
    const NAME_AT: u64 = 256;
    put(b"QFI\xfb");
    put(&3_u32.to_be_bytes());
    put(&NAME_AT.to_be_bytes());
    put(&(base.len() as u32).to_be_bytes());
    put(&CLUSTER_BITS.to_be_bytes());
    put(&disk_bytes.to_be_bytes());
    put(&0_u32.to_be_bytes()); // not encrypted
    put(&(entries as u32).to_be_bytes());
    put(&(3 * CLUSTER).to_be_bytes()); // first table
    put(&CLUSTER.to_be_bytes()); // table of reference counts
    put(&1_u32.to_be_bytes()); // ... of one cluster
    put(&0_u32.to_be_bytes()); // snapshots
    put(&0_u64.to_be_bytes());
    put(&[0; 24]); // features: none
    put(&4_u32.to_be_bytes()); // reference counts of 16 bits
    put(&HEADER.to_be_bytes());
    put(&0xe279_2aca_u32.to_be_bytes()); // extension: format of the base
    put(&3_u32.to_be_bytes());
    put(b"raw\0\0\0\0\0");
    put(&[0; 8]); // end of extensions
    let name_at = NAME_AT as usize;
    image[name_at..name_at + base.len()].copy_from_slice(base.as_bytes());
    let cluster = CLUSTER as usize;
    image[cluster..cluster + 8].copy_from_slice(&(2 * CLUSTER).to_be_bytes());
    for used in 0..4 {
        image[2 * cluster + 2 * used + 1] = 1;
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: &[u8], offset: usize, bytes: usize) -> u64 {
        image[offset..offset + bytes].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    #[test]
    fn every_field_stands_where_the_form_wants_it() {
        let image = over("/lab/root.img", 4 << 30).unwrap();
        assert_eq!(image.len(), 4 << 16);
        for (name, offset, bytes, value) in [
            ("magic", 0, 4, 0x5146_49fb),
            ("version", 4, 4, 3),
            ("offset of the base's name", 8, 8, 256),
            ("its length", 16, 4, 13),
            ("cluster bits", 20, 4, 16),
            ("size", 24, 8, 4 << 30),
            ("encryption", 32, 4, 0),
            ("entries of the first table", 36, 4, 8),
            ("first table", 40, 8, 3 << 16),
            ("table of reference counts", 48, 8, 1 << 16),
            ("its clusters", 56, 4, 1),
            ("snapshots", 60, 4, 0),
            ("incompatible features", 72, 8, 0),
            ("order of reference counts", 96, 4, 4),
            ("length of the header", 100, 4, 104),
            ("extension", 104, 4, 0xe279_2aca),
            ("its length", 108, 4, 3),
            ("end of extensions", 120, 8, 0),
            ("block of reference counts", 1 << 16, 8, 2 << 16),
            ("four clusters are used", 2 << 16, 8, 0x0001_0001_0001_0001),
            ("and no more", (2 << 16) + 8, 8, 0),
            ("nothing written yet", 3 << 16, 8, 0),
        ] {
            assert_eq!(at(&image, offset, bytes), value, "{name}");
        }
        assert_eq!(&image[112..115], b"raw");
        assert_eq!(&image[256..269], b"/lab/root.img");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(over(&"x".repeat(1024), 1 << 30).is_err());
        assert!(over("x", u64::MAX).is_err());
        assert_eq!(at(&over("x", 512 << 20).unwrap(), 36, 4), 1);
        assert_eq!(at(&over("x", (512 << 20) + 1).unwrap(), 36, 4), 2);
    }
}
