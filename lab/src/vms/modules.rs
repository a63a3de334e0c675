//! Which kernel modules have to be loaded, and in which order, for a wanted few: from `modules.dep` (depmod(8)).

use std::collections::BTreeMap;

/// Paths below the modules' folder in the order of loading, each once, dependencies first. A wanted module that is not in
/// the list is built into the kernel, or this kernel has none: then it is left out.
pub(crate) fn in_order(modules_dep: &str, wanted: &[&str]) -> Vec<String> {
    let needs: BTreeMap<&str, Vec<&str>> = modules_dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, rest)| (path.trim(), rest.split_whitespace().collect()))
        .collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let Some((path, dependencies)) = needs.iter().find(|(path, _)| module_name(path) == *name) else { continue };
        // depmod writes all dependencies, the deeper ones later.
        for path in dependencies.iter().rev().chain([path]) {
            if !order.iter().any(|known| known == path) {
                order.push((*path).to_owned());
            }
        }
    }
    order
}

/// The module's name: `kernel/fs/fuse/fuse.ko.xz` is `fuse`. The kernel takes `-` and `_` for the same.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_once() {
        let dep = "kernel/a/virtio.ko.xz:\nkernel/a/virtio_ring.ko.xz: kernel/a/virtio.ko.xz\n\
                   kernel/a/virtio-pci.ko.xz: kernel/a/modern.ko.xz kernel/a/virtio_ring.ko.xz kernel/a/virtio.ko.xz\n\
                   kernel/a/modern.ko.xz:\nkernel/b/virtio_blk.ko.xz: kernel/a/virtio_ring.ko.xz kernel/a/virtio.ko.xz\n\
                   a line without meaning\n";
        assert_eq!(
            in_order(dep, &["virtio_pci", "ext4", "virtio_blk"]),
            [
                "kernel/a/virtio.ko.xz",
                "kernel/a/virtio_ring.ko.xz",
                "kernel/a/modern.ko.xz",
                "kernel/a/virtio-pci.ko.xz",
                "kernel/b/virtio_blk.ko.xz"
            ]
        );
        assert!(in_order("", &["virtio_pci"]).is_empty());
    }
}
