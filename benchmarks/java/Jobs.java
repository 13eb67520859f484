import java.io.*;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.*;
import org.apache.hadoop.mapreduce.*;
import org.apache.hadoop.mapreduce.lib.input.*;
import org.apache.hadoop.mapreduce.lib.output.*;
import org.apache.hadoop.util.ToolRunner;

/** The benchmark's MapReduce programs and the client that submits them: word count, passes over points, an empty job, and
 *  Hadoop's own TeraSort and Streaming. It answers a line of stdin with "ok" and JSON, and ends with stdin.
 *  java -cp 'conf:jobs.jar:jars/*' Jobs */
public class Jobs {
    /** Milliseconds of the clock, counted by each task: when its JVM started, when the task did (before it reads or fetches
     *  anything), and its end. */
    enum Stamp { JVM, TASK, END }

    private static long started;

    /** Whatever the output, the task asks for its committer first. */
    static OutputCommitter begun(OutputCommitter committer) {
        if (started == 0) started = System.currentTimeMillis();
        return committer;
    }

    public static class Texts<K, V> extends TextOutputFormat<K, V> {
        @Override public OutputCommitter getOutputCommitter(TaskAttemptContext context) throws IOException {
            return begun(super.getOutputCommitter(context));
        }
    }

    public static class Sequences<K, V> extends SequenceFileOutputFormat<K, V> {
        @Override public OutputCommitter getOutputCommitter(TaskAttemptContext context) throws IOException {
            return begun(super.getOutputCommitter(context));
        }
    }

    public static class Nowhere<K, V> extends NullOutputFormat<K, V> {
        @Override public OutputCommitter getOutputCommitter(TaskAttemptContext context) {
            return begun(super.getOutputCommitter(context));
        }
    }

    static void begin(TaskAttemptContext context) {
        stamp(context, Stamp.JVM, ManagementFactory.getRuntimeMXBean().getStartTime());
        stamp(context, Stamp.TASK, started);
    }

    static void end(TaskAttemptContext context) { stamp(context, Stamp.END, System.currentTimeMillis()); }

    private static void stamp(TaskAttemptContext context, Stamp name, long milliseconds) {
        ((TaskInputOutputContext<?, ?, ?, ?>) context).getCounter(name).setValue(milliseconds);
    }

    // Word count, as in Hadoop's tutorial

    public static class Words extends Mapper<Object, Text, Text, LongWritable> {
        private final Text word = new Text();
        private final LongWritable one = new LongWritable(1);

        @Override protected void setup(Context context) { begin(context); }

        @Override protected void map(Object at, Text line, Context context) throws IOException, InterruptedException {
            StringTokenizer tokens = new StringTokenizer(line.toString());
            while (tokens.hasMoreTokens()) {
                word.set(tokens.nextToken());
                context.write(word, one);
            }
        }

        @Override protected void cleanup(Context context) { end(context); }
    }

    /** The combiner: it runs inside map tasks, whose stamps it leaves alone. */
    public static class Combine extends Reducer<Text, LongWritable, Text, LongWritable> {
        private final LongWritable total = new LongWritable();

        @Override protected void reduce(Text word, Iterable<LongWritable> counts, Context context)
                throws IOException, InterruptedException {
            long sum = 0;
            for (LongWritable count : counts) sum += count.get();
            total.set(sum);
            context.write(word, total);
        }
    }

    public static class Count extends Combine {
        @Override protected void setup(Context context) { begin(context); }

        @Override protected void cleanup(Context context) { end(context); }
    }

    // Passes over points: a line of numbers by commas, or their bytes; the last one is the label, 0 or 1

    /** With weights, the log loss and its gradient; without, the Gram matrix. Each task sends its own sums once. */
    public static class Points extends Mapper<Object, Writable, IntWritable, DoubleWritable> {
        private double[] weights, point, sums;

        @Override protected void setup(Context context) {
            begin(context);
            point = new double[context.getConfiguration().getInt("points.width", 0)];
            String text = context.getConfiguration().get("points.weights");
            if (text != null) weights = Arrays.stream(text.split(",")).mapToDouble(Double::parseDouble).toArray();
            sums = new double[weights == null ? point.length * point.length : 1 + point.length];
        }

        @Override protected void map(Object at, Writable value, Context context) {
            read(value, point);
            int last = point.length - 1;
            double label = point[last];
            point[last] = 1;
            if (weights == null) addProducts(); else addLoss(label);
        }

        private void addProducts() {
            for (int i = 0, at = 0; i < point.length; i++)
                for (double other : point) sums[at++] += point[i] * other;
        }

        private void addLoss(double label) {
            double margin = 0;
            for (int i = 0; i < point.length; i++) margin += weights[i] * point[i];
            double tail = Math.exp(-Math.abs(margin));
            double residual = (margin >= 0 ? 1 : tail) / (1 + tail) - label;
            sums[0] += Math.log1p(tail) + Math.max(margin, 0) - margin * label;
            for (int i = 0; i < point.length; i++) sums[1 + i] += residual * point[i];
        }

        @Override protected void cleanup(Context context) throws IOException, InterruptedException {
            for (int i = 0; i < sums.length; i++) context.write(new IntWritable(i), new DoubleWritable(sums[i]));
            end(context);
        }

        static void read(Writable value, double[] into) {
            if (value instanceof BytesWritable) {
                BytesWritable bytes = (BytesWritable) value;
                ByteBuffer.wrap(bytes.getBytes(), 0, bytes.getLength()).asDoubleBuffer().get(into);
            } else {
                StringTokenizer tokens = new StringTokenizer(value.toString(), ",");
                for (int i = 0; i < into.length; i++) into[i] = Double.parseDouble(tokens.nextToken());
            }
        }
    }

    public static class Add extends Reducer<IntWritable, DoubleWritable, IntWritable, DoubleWritable> {
        @Override protected void setup(Context context) { begin(context); }

        @Override protected void reduce(IntWritable place, Iterable<DoubleWritable> values, Context context)
                throws IOException, InterruptedException {
            double sum = 0;
            for (DoubleWritable value : values) sum += value.get();
            context.write(place, new DoubleWritable(sum));
        }

        @Override protected void cleanup(Context context) { end(context); }
    }

    /** Lines to bytes, once, so that later passes need not parse ("HadoopBinMem" in the RDD paper). */
    public static class ToBytes extends Mapper<Object, Text, NullWritable, BytesWritable> {
        private double[] point;

        @Override protected void setup(Context context) {
            begin(context);
            point = new double[context.getConfiguration().getInt("points.width", 0)];
        }

        @Override protected void map(Object at, Text line, Context context) throws IOException, InterruptedException {
            Points.read(line, point);
            ByteBuffer bytes = ByteBuffer.allocate(8 * point.length);
            bytes.asDoubleBuffer().put(point);
            context.write(NullWritable.get(), new BytesWritable(bytes.array()));
        }

        @Override protected void cleanup(Context context) { end(context); }
    }

    // An empty job: one map task without a record, one reduce task without a group, no output

    public static class Nothing extends InputFormat<IntWritable, IntWritable> {
        public static class Empty extends InputSplit implements Writable {
            @Override public long getLength() { return 0; }

            @Override public String[] getLocations() { return new String[0]; }

            @Override public void write(DataOutput out) { }

            @Override public void readFields(DataInput in) { }
        }

        @Override public List<InputSplit> getSplits(JobContext context) { return Collections.singletonList(new Empty()); }

        @Override public RecordReader<IntWritable, IntWritable> createRecordReader(InputSplit split, TaskAttemptContext context) {
            return new RecordReader<IntWritable, IntWritable>() {
                @Override public void initialize(InputSplit split, TaskAttemptContext context) { }

                @Override public boolean nextKeyValue() { return false; }

                @Override public IntWritable getCurrentKey() { return null; }

                @Override public IntWritable getCurrentValue() { return null; }

                @Override public float getProgress() { return 1; }

                @Override public void close() { }
            };
        }
    }

    public static class MapNothing extends Mapper<IntWritable, IntWritable, IntWritable, IntWritable> {
        @Override protected void setup(Context context) { begin(context); }

        @Override protected void cleanup(Context context) { end(context); }
    }

    public static class ReduceNothing extends Reducer<IntWritable, IntWritable, IntWritable, IntWritable> {
        @Override protected void setup(Context context) { begin(context); }

        @Override protected void cleanup(Context context) { end(context); }
    }

    // The client

    private final Configuration conf = new Configuration();

    private String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "empty": return empty();
            case "wordcount": return wordCount(words[1], words[2], Integer.parseInt(words[3]));
            case "points": return points(words[1], words[2], Integer.parseInt(words[3]), words.length > 4 ? words[4] : null);
            case "bytes": return toBytes(words[1], words[2], Integer.parseInt(words[3]));
            case "terasort":
                return tool(new org.apache.hadoop.examples.terasort.TeraSort(), "-D", "mapreduce.job.reduces=" + words[3],
                    words[1], words[2]);
            case "streaming":
                return tool(new org.apache.hadoop.streaming.StreamJob(), "-D", "mapreduce.job.reduces=" + words[3],
                    "-files", words[4] + "," + words[5], "-input", words[1], "-output", words[2],
                    "-mapper", new Path(words[4]).getName(), "-combiner", new Path(words[5]).getName(),
                    "-reducer", new Path(words[5]).getName());
            case "put":
                try (FileSystem fs = FileSystem.newInstance(new Path(words[2]).toUri(), conf)) {
                    fs.copyFromLocalFile(new Path(words[1]), new Path(words[2]));
                }
                return "{}";
            case "write": return write(words[1], Long.parseLong(words[2]), Short.parseShort(words[3]));
            default: throw new IllegalArgumentException("unknown command " + words[0]);
        }
    }

    private String empty() throws Exception {
        long began = System.currentTimeMillis();
        Job job = job("empty", MapNothing.class, IntWritable.class, IntWritable.class);
        job.setReducerClass(ReduceNothing.class);
        job.setNumReduceTasks(1);
        job.setInputFormatClass(Nothing.class);
        job.setOutputFormatClass(Nowhere.class);
        return run(job, began, null);
    }

    private String wordCount(String in, String out, int reduces) throws Exception {
        long began = System.currentTimeMillis();
        Job job = job("word count", Words.class, Text.class, LongWritable.class);
        job.setCombinerClass(Combine.class);
        job.setReducerClass(Count.class);
        job.setNumReduceTasks(reduces);
        return run(fromTo(job, in, out), began, null);
    }

    private String points(String in, String out, int width, String weights) throws Exception {
        long began = System.currentTimeMillis();
        Job job = job("points", Points.class, IntWritable.class, DoubleWritable.class);
        job.getConfiguration().setInt("points.width", width);
        if (weights != null) job.getConfiguration().set("points.weights", weights);
        if (in.endsWith(".bytes")) job.setInputFormatClass(SequenceFileInputFormat.class);
        job.setReducerClass(Add.class);
        job.setNumReduceTasks(1);
        return run(fromTo(job, in, out), began, new Path(out, "part-r-00000"));
    }

    private String toBytes(String in, String out, int width) throws Exception {
        long began = System.currentTimeMillis();
        Job job = job("lines to bytes", ToBytes.class, NullWritable.class, BytesWritable.class);
        job.getConfiguration().setInt("points.width", width);
        job.setNumReduceTasks(0);
        job.setOutputFormatClass(Sequences.class);
        return run(fromTo(job, in, out), began, null);
    }

    @SuppressWarnings("rawtypes")
    private Job job(String name, Class<? extends Mapper> mapper, Class<?> key, Class<?> value) throws IOException {
        Job job = Job.getInstance(conf, name);
        job.setJarByClass(Jobs.class);
        job.setMapperClass(mapper);
        job.setOutputFormatClass(Texts.class);
        job.setOutputKeyClass(key);
        job.setOutputValueClass(value);
        return job;
    }

    private static Job fromTo(Job job, String in, String out) throws IOException {
        FileInputFormat.addInputPath(job, new Path(in));
        FileOutputFormat.setOutputPath(job, new Path(out));
        return job;
    }

    /** The seconds and the milliseconds of the clock of a job's steps, its tasks' stamps, and the numbers that it wrote. */
    private String run(Job job, long began, Path numbers) throws Exception {
        job.submit();
        long submitted = System.currentTimeMillis();
        if (!job.waitForCompletion(true)) throw new IOException(job.getJobName() + ": " + job.getStatus().getFailureInfo());
        List<String> values = new ArrayList<>();
        if (numbers != null)
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                    numbers.getFileSystem(conf).open(numbers)))) {
                for (String line; (line = lines.readLine()) != null; ) values.add(line.split("\t")[1]);
            }
        long ended = System.currentTimeMillis();
        return "{\"seconds\": " + (ended - began) / 1e3 + ", \"began\": " + began + ", \"submitted\": " + submitted
            + ", \"master\": " + job.getStatus().getStartTime() + ", \"ended\": " + ended
            + ", \"cpu_s\": " + job.getCounters().findCounter(TaskCounter.CPU_MILLISECONDS).getValue() / 1e3
            + ", \"maps\": " + tasks(job, TaskType.MAP) + ", \"reduces\": " + tasks(job, TaskType.REDUCE)
            + ", \"values\": " + values + "}";
    }

    private static List<String> tasks(Job job, TaskType type) throws Exception {
        List<String> found = new ArrayList<>();
        for (TaskReport task : job.getTaskReports(type)) {
            StringBuilder stamps = new StringBuilder("{\"start\": " + task.getStartTime());
            for (Stamp name : Stamp.values())
                stamps.append(", \"" + name.name().toLowerCase(Locale.ROOT) + "\": "
                    + task.getTaskCounters().findCounter(name).getValue());
            found.add(stamps + ", \"finish\": " + task.getFinishTime() + "}");
        }
        return found;
    }

    private String tool(org.apache.hadoop.util.Tool tool, String... arguments) throws Exception {
        long began = System.currentTimeMillis();
        int code = ToolRunner.run(new Configuration(conf), tool, arguments);
        if (code != 0) throw new IOException(tool.getClass().getSimpleName() + " ends with " + code);
        return "{\"seconds\": " + (System.currentTimeMillis() - began) / 1e3 + "}";
    }

    /** A file of so many bytes, and so many copies of each block. */
    private String write(String path, long bytes, short copies) throws IOException {
        byte[] piece = new byte[1 << 20];
        new Random(1).nextBytes(piece);
        FileSystem fs = new Path(path).getFileSystem(conf);
        long began = System.currentTimeMillis();
        try (OutputStream out = fs.create(new Path(path), copies)) {
            for (long left = bytes; left > 0; left -= piece.length) out.write(piece, 0, (int) Math.min(left, piece.length));
        }
        return "{\"seconds\": " + (System.currentTimeMillis() - began) / 1e3 + "}";
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // whatever Hadoop prints
        Jobs jobs = new Jobs();
        answers.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok " + jobs.answer(line.split(" "));
            } catch (Throwable error) {
                error.printStackTrace();
                answer = "error " + error.toString().replace('\n', ' ');
            }
            answers.println(answer);
        }
        System.exit(0);
    }
}
