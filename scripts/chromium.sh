#!/bin/sh
# Prints the path of a Chromium: the machine's own, or one that is downloaded into schism's cache and runs from there.
set -eu
schism=$1
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        command -v "$name"
        exit 0
    fi
done
tree=$("$schism" packages chromium fonts-dejavu-core)
if [ ! -x "$tree/usr/lib/chromium/chromium" ]; then
    echo "schism: the package chromium holds no browser on this system" >&2
    exit 1
fi
wrapper="$tree/chromium-here"
fonts="$tree/fonts-here.conf"
# Some libraries lie in a folder of their own below the system's (that of libpulse, which Chromium needs).
libraries=$(find "$tree/usr/lib" -maxdepth 3 -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
# Fonts may be the machine's own or the tree's.
cat >"$fonts.$$" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>$tree/usr/share/fonts</dir>
  <cachedir>$tree/fonts-cache</cachedir>
</fontconfig>
FONTS
cat >"$wrapper.$$" <<WRAPPER
#!/bin/sh
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:-}"
export FONTCONFIG_FILE="$fonts"
exec "$tree/usr/lib/chromium/chromium" "\$@"
WRAPPER
chmod +x "$wrapper.$$"
mv "$fonts.$$" "$fonts"
mv "$wrapper.$$" "$wrapper"
echo "$wrapper"
