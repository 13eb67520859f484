import java.io.*;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.mapreduce.v2.MiniMRYarnCluster;

/** A real HDFS (a NameNode, three DataNodes) and a real YARN (ResourceManager, NodeManager, job history) in this JVM. Every
 *  map task, reduce task and application master is a JVM of its own. It prints one line when it is up, and ends with stdin.
 *  java -cp 'classes:jars/*' MiniHadoop FOLDER ; clients have FOLDER/conf first in their class path.
 *
 *  What is not Hadoop's default is here, and is kinder than the default, except that one host runs everything. */
public class MiniHadoop {
    private static final int DATANODES = 3;

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // whatever Hadoop prints
        File folder = new File(args[0]).getAbsoluteFile();
        Configuration conf = new Configuration();
        conf.set("hdfs.minidfs.basedir", new File(folder, "dfs").getPath());
        conf.set("hadoop.tmp.dir", new File(folder, "tmp").getPath());
        conf.setInt("dfs.replication", 1); // all DataNodes are on one disk
        conf.set("yarn.resourcemanager.hostname", "127.0.0.1");
        conf.set("yarn.nodemanager.hostname", "127.0.0.1");
        // Room for an application master (1.5 GB, rounded up to 2) and four tasks of 1 GB, the defaults, on two cores.
        conf.setInt("yarn.nodemanager.resource.memory-mb", 6144);
        conf.setInt("yarn.minicluster.yarn.nodemanager.resource.memory-mb", 6144);
        conf.setInt("yarn.nodemanager.resource.cpu-vcores", 8);
        conf.set("yarn.app.mapreduce.am.command-opts", "-Xmx1024m -XX:+UseSerialGC"); // which starts faster
        conf.set("mapreduce.map.java.opts", "-XX:+UseSerialGC");
        conf.set("mapreduce.reduce.java.opts", "-XX:+UseSerialGC");
        // A second attempt on the same two cores could only slow down the first.
        conf.setBoolean("mapreduce.map.speculative", false);
        conf.setBoolean("mapreduce.reduce.speculative", false);
        conf.setBoolean("yarn.nodemanager.vmem-check-enabled", false);
        conf.setFloat("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", 99f);
        MiniDFSCluster dfs = new MiniDFSCluster.Builder(conf).numDataNodes(DATANODES).build();
        dfs.waitActive();
        String url = "hdfs://127.0.0.1:" + dfs.getNameNodePort();
        conf.set("fs.defaultFS", url);
        System.setProperty("test.build.data", folder.getPath());
        MiniMRYarnCluster yarn = new MiniMRYarnCluster("mini", 1);
        yarn.init(conf);
        yarn.start();
        Configuration client = new Configuration(yarn.getConfig());
        client.set("fs.defaultFS", url);
        File dir = new File(folder, "conf");
        dir.mkdirs();
        // Into each of them, as the *-default.xml files come in between; only in core-site.xml, jobs would run in the client.
        for (String name : new String[] {"core", "hdfs", "mapred", "yarn"})
            try (OutputStream out = new FileOutputStream(new File(dir, name + "-site.xml"))) { client.writeXml(out); }
        answers.println("ready " + url);
        while (System.in.read() >= 0) { }
        yarn.stop();
        dfs.shutdown(true);
        System.exit(0);
    }
}
