import java.nio.file.Files;
import java.nio.file.Path;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One node of OpenSearch: `java -cp 'JARS/*' Node.java DIRECTORY PORT [NAME=VALUE]...`, settings last.
 *
 * The program that comes with the runner takes no settings and no port of one's own choice above 9299.
 */
public final class Node {
    private Node() {
    }

    public static void main(final String[] arguments) throws Exception {
        final Path directory = Path.of(arguments[0]);
        Files.createDirectories(directory);
        final OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("discovery.type", "single-node");
            settings.put("http.port", arguments[1]);
            settings.put("http.host", "127.0.0.1");
            settings.put("transport.host", "127.0.0.1");
            for (int at = 2; at < arguments.length; at++) {
                final String[] setting = arguments[at].split("=", 2);
                settings.put(setting[0], setting[1]);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (final Exception error) {
                error.printStackTrace();
            }
        }));
        runner.build(OpenSearchRunner.newConfigs().numOfNode(1).basePath(directory.toString()).clusterName("test"));
        Thread.currentThread().join();
    }
}
