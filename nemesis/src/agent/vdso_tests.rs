//! The image of this machine's kernel, in memory alone.

use super::super::vdso_patch::own_image;
use super::*;

fn apply(bytes: &mut [u8], writes: &[Write]) {
    for write in writes {
        bytes[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
}

fn images() -> Vec<Image> {
    let image = own_image().unwrap();
    // The same without room at its end, as other kernels have it.
    let mut full = image.pristine().to_vec();
    let used = full.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    full[used..].fill(0x90);
    let full = Image::parse(full).unwrap();
    assert_eq!((image.in_headers, full.in_headers), (false, true));
    vec![image, full]
}

#[test]
fn an_image_is_changed_and_comes_back_to_the_byte() {
    for image in images() {
        assert!(image.functions.len() == 3, "{:?}", image.functions);
        let mut now = image.pristine().to_vec();
        assert_eq!(image.condition(&now), Condition::Pristine);
        let shift = Shift { offset_ns: -5, rate_q32: 7, reference_ns: 9, strobe_ns: 11, half_period_ns: 13 };
        apply(&mut now, &image.blob(&shift, 77));
        assert_eq!(image.condition(&now), Condition::Partly { owner: 77, hooked: false });
        apply(&mut now, &image.jumps()[..1]);
        assert_eq!(image.condition(&now), Condition::Partly { owner: 77, hooked: true });
        apply(&mut now, &image.jumps());
        assert_eq!(image.condition(&now), Condition::Skewed { shift, owner: 77 });
        for offset_ns in [1, 2, 3] {
            let shift = Shift { offset_ns, ..shift };
            let [slot, index] = image.change(&now, &shift);
            let before = image.condition(&now);
            apply(&mut now, &[slot]);
            assert_eq!(image.condition(&now), before, "a slot that is not in use says nothing");
            apply(&mut now, &[index]);
            assert_eq!(image.condition(&now), Condition::Skewed { shift, owner: 77 });
        }
        apply(&mut now, &image.returns());
        assert_eq!(image.condition(&now), Condition::Partly { owner: 77, hooked: false });
        apply(&mut now, &image.unblob());
        assert_eq!(now, image.pristine());
    }
}

#[test]
fn what_others_changed_is_left_alone() {
    let image = own_image().unwrap();
    let (entry, _) = image.functions[0];
    let len = image.pristine().len();
    for at in [0, entry, entry + 1, entry + JUMP_BYTES, image.blob_at, image.blob_at + BLOB_BYTES - 1, len - 1] {
        let mut now = image.pristine().to_vec();
        now[at] ^= 0xcc;
        assert_eq!(image.condition(&now), Condition::Foreign, "{at:#x}");
    }
    assert_eq!(image.condition(&image.pristine()[1..]), Condition::Foreign);
    for (at, entered, blob) in [
        (entry, false, false),
        (entry + 1, true, false),
        (entry + 4, true, false),
        (entry + 5, false, false),
        (image.blob_at, false, true),
        (image.blob_at + BLOB_BYTES, false, false),
    ] {
        assert_eq!((image.is_in_an_entry(at), image.is_in_the_blob(at)), (entered, blob), "{at:#x}");
    }
}

#[test]
fn nonsense_is_no_image() {
    let good = own_image().unwrap().pristine().to_vec();
    assert!(Image::parse(Vec::new()).is_err());
    for len in 0..good.len().min(0x800) {
        assert!(Image::parse(good[..len].to_vec()).is_err(), "{len}");
    }
    // Any byte of headers and tables may be anything.
    for at in 0..good.len().min(0x700) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(image) = Image::parse(bytes) {
                let shift = Shift::default();
                for write in [image.jumps(), image.returns(), image.blob(&shift, 1), image.unblob()].concat() {
                    assert!(write.at + write.bytes.len() <= good.len(), "{at:#x} {value}");
                }
            }
        }
    }
}

#[test]
fn the_stub_is_as_long_as_its_listing_says() {
    assert_eq!((CODE_AT, BLOB_BYTES), (0x60, 0x1af));
    // Where the functions begin, by their first bytes.
    let at = |place: usize| &STUB[place - CODE_AT..place - CODE_AT + 5];
    assert_eq!(at(FUNCTIONS[0].1), [0xb8, 0xe4, 0, 0, 0]);
    assert_eq!(at(FUNCTIONS[1].1), [0xb8, 0x60, 0, 0, 0]);
    assert_eq!(at(FUNCTIONS[2].1), [0x57, 0x48, 0x83, 0xec, 0x10]);
}

#[test]
fn shifts_add_offset_drift_and_strobe() {
    let q32 = |rate: f64| (rate * 4_294_967_296.0) as i64;
    let second = 1_000_000_000;
    let cases = [
        (Shift { offset_ns: -7, ..Shift::default() }, 5, -7),
        (Shift { rate_q32: q32(0.5), reference_ns: second, ..Shift::default() }, 3 * second, second),
        (Shift { rate_q32: q32(-0.5), reference_ns: second, ..Shift::default() }, 3 * second, -second),
        (Shift { strobe_ns: 9, half_period_ns: second, ..Shift::default() }, second / 2, 0),
        (Shift { strobe_ns: 9, half_period_ns: second, ..Shift::default() }, second, 9),
        (Shift { offset_ns: 1, strobe_ns: 9, half_period_ns: second, ..Shift::default() }, second * 3 / 2, 10),
    ];
    for (shift, at, expected) in cases {
        assert_eq!(shift.at(at), expected, "{shift:?}");
    }
}
