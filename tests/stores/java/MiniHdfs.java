import java.io.*;
import java.nio.file.*;
import java.util.*;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.*;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.io.*;
import org.apache.hadoop.io.compress.*;
import org.apache.hadoop.util.ReflectionUtils;

/** A real HDFS in this JVM: two NameNodes that share a journal (name service "mini"), and a DataNode for each host named.
 *  It answers one line on stdout for each line on stdin, and ends with stdin.
 *  java -cp 'jars/*' MiniHdfs.java FOLDER ADDRESS HOST... ; clients: HADOOP_CONF_DIR=FOLDER/conf and hdfs://mini, or the
 *  addresses in the first line. */
public class MiniHdfs {
    private static MiniDFSCluster cluster;
    private static Configuration client;
    private static int active = 0;
    private static final List<MiniDFSCluster.DataNodeProperties> stopped = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // whatever Hadoop prints
        File folder = new File(args[0]).getAbsoluteFile();
        String address = args[1];
        String[] hosts = Arrays.copyOfRange(args, 2, args.length);
        Configuration conf = new Configuration();
        conf.set("hdfs.minidfs.basedir", new File(folder, "data").getPath());
        conf.setLong("dfs.namenode.fs-limits.min-block-size", 4096);
        conf.setLong("dfs.blocksize", 32L << 20);
        conf.setInt("dfs.replication", hosts.length);
        conf.setInt("dfs.ha.tail-edits.period", 1);
        conf.setInt("dfs.namenode.handler.count", 4);
        conf.setInt("dfs.namenode.heartbeat.recheck-interval", 200);
        conf.setBoolean("dfs.permissions.enabled", true);
        conf.setBoolean("dfs.namenode.datanode.registration.ip-hostname-check", false); // hosts of tests have no names
        for (String name : new String[] {"address", "http.address", "ipc.address"})
            conf.set("dfs.datanode." + name, address + ":0");
        MiniDFSNNTopology.NSConf service = new MiniDFSNNTopology.NSConf("mini")
            .addNN(new MiniDFSNNTopology.NNConf("nn1")).addNN(new MiniDFSNNTopology.NNConf("nn2"));
        if (!address.equals("127.0.0.1")) // then it runs in a network namespace of its own
            for (String nn : new String[] {"nn1", "nn2"}) {
                conf.set("dfs.namenode.rpc-bind-host.mini." + nn, "0.0.0.0");
                conf.set("dfs.namenode.http-bind-host.mini." + nn, "0.0.0.0");
            }
        cluster = new MiniDFSCluster.Builder(conf).nnTopology(new MiniDFSNNTopology().addNameservice(service))
            .numDataNodes(hosts.length).hosts(hosts).checkDataNodeAddrConfig(true).build();
        cluster.waitActive();
        cluster.transitionToActive(active);
        String[] rpc = new String[2], http = new String[2];
        for (int i = 0; i < 2; i++) {
            rpc[i] = address + ":" + cluster.getNameNodePort(i);
            http[i] = address + ":" + cluster.getNameNode(i).getHttpAddress().getPort();
        }
        client = new Configuration(false);
        client.set("fs.defaultFS", "hdfs://mini");
        client.set("dfs.nameservices", "mini");
        client.set("dfs.ha.namenodes.mini", "nn1,nn2");
        client.set("dfs.replication", "" + hosts.length);
        client.set("dfs.client.failover.proxy.provider.mini",
            "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider");
        for (int i = 0; i < 2; i++) {
            client.set("dfs.namenode.rpc-address.mini.nn" + (i + 1), rpc[i]);
            client.set("dfs.namenode.http-address.mini.nn" + (i + 1), http[i]);
        }
        File dir = new File(folder, "conf");
        dir.mkdirs();
        for (String name : new String[] {"core", "hdfs"})
            try (OutputStream out = new FileOutputStream(new File(dir, name + "-site.xml"))) { client.writeXml(out); }
        client = new Configuration(client);
        answers.println("ready " + rpc[0] + " " + http[0] + " " + rpc[1] + " " + http[1]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok " + answer(line.split(" "));
            } catch (Throwable error) {
                answer = "error " + error.toString().replace('\n', ' ');
            }
            answers.println(answer.trim());
        }
        cluster.shutdown(true);
        System.exit(0);
    }

    private static String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "fail-over":
                cluster.transitionToStandby(active);
                cluster.transitionToActive(active = 1 - active);
                return "" + active;
            case "stop-datanode":
                stopped.add(cluster.stopDataNode(Integer.parseInt(words[1])));
                return "";
            case "start-datanodes":
                for (MiniDFSCluster.DataNodeProperties node : stopped) cluster.restartDataNode(node, true);
                stopped.clear();
                cluster.waitActive(active);
                return "";
            case "place":
                return place(new Path(words[1]), Integer.parseInt(words[2]), Integer.parseInt(words[3]), words[4]);
            case "write-sequence":
                return writeSequence(new Path(words[1]), words[2], words[3], Integer.parseInt(words[4]));
            case "read-sequence":
                return readSequence(new Path(words[1]));
            case "text":
                return text(new Path(words[1]));
            default:
                return "unknown";
        }
    }

    /** (Text, LongWritable) pairs "key i" -> i. */
    private static String writeSequence(Path path, String type, String codec, int count) throws Exception {
        CompressionCodec packed = codec.equals("none") ? null : (CompressionCodec) ReflectionUtils.newInstance(
            Class.forName("org.apache.hadoop.io.compress." + codec), client);
        SequenceFile.CompressionType kind = SequenceFile.CompressionType.valueOf(type);
        try (SequenceFile.Writer writer = SequenceFile.createWriter(client, SequenceFile.Writer.file(path),
                SequenceFile.Writer.keyClass(Text.class), SequenceFile.Writer.valueClass(LongWritable.class),
                packed == null ? SequenceFile.Writer.compression(kind) : SequenceFile.Writer.compression(kind, packed))) {
            for (int i = 0; i < count; i++) writer.append(new Text("key " + i), new LongWritable(i));
        }
        return "";
    }

    /** A file of one line and one block, on that DataNode alone; the line begins with a text. */
    private static String place(Path path, int node, int bytes, String text) throws Exception {
        DataNode on = cluster.getDataNodes().get(node);
        DistributedFileSystem fs = (DistributedFileSystem) path.getFileSystem(client);
        java.net.InetSocketAddress[] there = {on.getXferAddress()};
        try (OutputStream out = fs.create(path, org.apache.hadoop.fs.permission.FsPermission.getFileDefault(), true, 4096,
                (short) 1, 1 << 20, null, there)) {
            out.write((text + "x".repeat(bytes - text.length() - 1) + "\n").getBytes());
        }
        return on.getDatanodeId().getHostName();
    }

    /** How many records the SequenceFiles of a folder hold, the sum of the keys' hash codes and of the values'. */
    private static String readSequence(Path folder) throws Exception {
        long count = 0, keys = 0, values = 0;
        for (org.apache.hadoop.fs.FileStatus part : folder.getFileSystem(client).listStatus(folder)) {
            if (part.getPath().getName().startsWith("_")) continue;
            try (SequenceFile.Reader reader = new SequenceFile.Reader(client, SequenceFile.Reader.file(part.getPath()))) {
                Writable key = (Writable) ReflectionUtils.newInstance(reader.getKeyClass(), client);
                Writable value = (Writable) ReflectionUtils.newInstance(reader.getValueClass(), client);
                while (reader.next(key, value)) {
                    count++;
                    keys += key.toString().hashCode();
                    values += Long.parseLong(value.toString());
                }
            }
        }
        return count + " " + keys + " " + values;
    }

    /** Lines and bytes of the text files of a folder, whatever they are packed with, and the sum of the lines' hash codes. */
    private static String text(Path folder) throws Exception {
        FileSystem fs = folder.getFileSystem(client);
        CompressionCodecFactory codecs = new CompressionCodecFactory(client);
        long lines = 0, hashes = 0;
        for (org.apache.hadoop.fs.FileStatus part : fs.listStatus(folder)) {
            CompressionCodec codec = codecs.getCodec(part.getPath());
            InputStream raw = fs.open(part.getPath());
            try (BufferedReader in = new BufferedReader(new InputStreamReader(codec == null ? raw : codec.createInputStream(raw)))) {
                for (String line; (line = in.readLine()) != null; lines++) hashes += line.hashCode();
            }
        }
        return lines + " " + hashes;
    }
}
