#!/bin/sh
# Fetches the Disruptor and Chronicle Queue with Maven, compiles their benchmarks into the folder given ($1), and leaves
# programs that run them in the second ($2).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" "$2"
to=$(cd "$1" && pwd)
bin=$(cd "$2" && pwd)
[ "$to/fetched" -nt "$here/pom.xml" ] || {
    rm -rf "$to/jars"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$to/jars"
    touch "$to/fetched"
}
javac -nowarn -d "$to/classes" -cp "$to/jars/*" "$here"/*.java
# What Chronicle asks of a Java 17: the insides of the platform.
open="--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED --add-exports=java.base/sun.nio.ch=ALL-UNNAMED
    --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED
    --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED
    --add-opens=java.base/java.lang.reflect=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
    --add-opens=java.base/java.util=ALL-UNNAMED"
for peer in Disruptor Chronicle; do
    program=$bin/peer_$(echo $peer | tr '[:upper:]' '[:lower:]')
    printf '#!/bin/sh\nexec java %s -Xms256m -Xmx256m -XX:+AlwaysPreTouch -Dchronicle.analytics.disable=true -cp "%s/classes:%s/jars/*" %sPeer "$@"\n' \
        "$(echo $open)" "$to" "$to" $peer >"$program"
    chmod +x "$program"
done
