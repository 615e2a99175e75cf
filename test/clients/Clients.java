import java.sql.DriverManager;

/** One question to a database by JDBC; prints the answer. Arguments: the URL, the question. */
class Clients {
  public static void main(String[] args) throws Exception {
    try (var connection = DriverManager.getConnection(args[0]);
        var rows = connection.createStatement().executeQuery(args[1])) {
      rows.next();
      System.out.println(rows.getString(1));
    }
  }
}
