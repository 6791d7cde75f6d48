//! The column names of common log formats and gateways, normalised: in lower case, without separators and without a unit at the end.

use super::columns::Role;

/// The names of each role, preferred ones first, separated by spaces.
pub(super) const SYNONYMS: &[(Role, &str)] = &[
    (
        Role::Time,
        "starttime timestamp starttimeunix startedat requesttime requesttimestamp requestedat createdat \
         created arrivaltime arrivedat datetime time eventtime ts date usagedate usagedateutc loggedat timestamputc timeutc \
         createdtime createtime start startat timegenerated observedtimestamp timeunix day hour week month period periodstart bucket bucketstart windowstart datum horodatage fecha zeit zeitstempel uhrzeit",
    ),
    (Role::End, "endtime endtimeunix endedat completedat finishedat end endat"),
    (Role::TimeOfDay, "timeofday clock hhmmss"),
    (Role::Zone, "timezone tz zone zeitzone utcoffset"),
    (
        Role::Model,
        "model modelname modelid responsemodel requestmodel llmmodel llmmodelname engine deployment \
         deploymentname modelversion modell modèle modele modelo aimodel",
    ),
    (
        Role::Input,
        "inputtokens prompttokens contexttokens prompttokencount inputtokencount requesttokens numinputtokens \
         numprompttokens ninputtokens nprompttokens tokensin tokensinput tokensprompt intokens inputlength \
         promptlength promptevalcount inputcontexttokens inputtoken prompttoken nativetokensprompt nprompt \
         eingabetokens eingabetoken tokensenviados tokensdeentrada jetonsentrée jetonsenentrée tokensentrée tokensevaluated \
         ncontexttokenstotal numprefilltokens promptllmtokencount inputuncachedtokens uncachedinputtokens uncachedprompttokens \
         promptuncachedtokens noncachedinputtokens inputtokensuncached",
    ),
    (
        Role::Output,
        "outputtokens completiontokens generatedtokens candidatestokencount outputtokencount \
         completiontokencount responsetokens numoutputtokens numcompletiontokens noutputtokens \
         ncompletiontokens tokensout tokensoutput tokenscompletion outtokens outputlength completionlength \
         evalcount outputtoken completiontoken nativetokenscompletion ausgabetokens ausgabetoken jetonssortie jetonsensortie \
         tokenssortie tokensdesalida tokenspredicted ngeneratedtokenstotal numdecodetokens completionllmtokencount generationtokencount generationtokens",
    ),
    (
        Role::Total,
        "totaltokens totaltokencount tokenstotal tokens tokencount usagetotal gesamttokens totalllmtokencount",
    ),
    (
        Role::Cached,
        "cachedtokens cachereadinputtokens cachedinputtokens cachedprompttokens \
         prompttokensdetailscachedtokens inputtokensdetailscachedtokens cachereadtokens \
         cachedcontenttokencount prompcachehittokens promptcachehittokens cachehittokens cacheread \
         inputcachedtokens prompttokenscached inputtokenscached cachereadinputtokencount nativetokenscached \
         inputtokendetailscacheread",
    ),
    (
        Role::CacheWrite,
        "cachecreationinputtokens cachewriteinputtokens cachewritetokens cachecreationtokens \
         prompttokensdetailscachecreationtokens prompttokensdetailscachewritetokens cachewrite cachewriteinputtokencount \
         inputtokendetailscachecreation",
    ),
    (
        Role::Reasoning,
        "reasoningtokens thoughtstokencount thinkingtokens completiontokensdetailsreasoningtokens \
         outputtokensdetailsreasoningtokens reasoningoutputtokens nativetokensreasoning outputtokendetailsreasoning",
    ),
    (
        Role::Latency,
        "latency duration totallatency requestduration responsetime elapsed elapsedtime e2elatency \
         endtoendlatency operationduration clientoperationduration totaltime requestlatency timetaken \
         totalduration delay dauer durée",
    ),
    (
        Role::FirstToken,
        "timetofirsttoken ttft firsttokenlatency firsttokentime timetofirstchunk latencytofirsttoken firsttoken",
    ),
    (
        Role::Cost,
        "cost spend totalcost responsecost price usagecost totalspend amount costtotal estimatedcost cost0 kosten preis coût cout coste",
    ),
    (Role::Currency, "currency currencycode waehrung währung"),
    (
        Role::Requests,
        "nummodelrequests numrequests requests requestcount requestscount numberofrequests calls callcount numcalls \
         totalrequests apirequests nrequests ncalls apicalls totalcalls invocations anfragen anzahlanfragen count",
    ),
    (Role::RequestId, "requestid generationid responseid completionid callid idofrequest"),
    (
        Role::Status,
        "status statuscode httpstatus httpstatuscode responsestatus responsecode success error errorcode outcome issuccess succeeded iserror haserror failed isfailed errormessage \
         exception",
    ),
];

/// The columns to group by, and their names.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("user", "user userid username useremail email enduser enduserid customer customerid nutzer benutzer"),
    ("key", "apikey apikeyid apikeyname apikeyalias key keyid keyname keyalias token"),
    ("team", "team teamid teamname teamalias department group groupid abteilung"),
    (
        "project",
        "project projectid projectname app appid appname application service servicename workspace workspaceid workspacename",
    ),
    ("feature", "feature featurename usecase task tasktype component"),
    ("session", "session sessionid conversation conversationid threadid chatid trace traceid"),
    ("prompt", "prompt promptname promptid prompttemplate template templateid promptversion"),
    ("agent", "agent agentname agentid agenttype"),
    ("tool", "tool toolname"),
    ("tag", "tag tags requesttags label labels"),
    ("environment", "environment env stage deploymentenvironment"),
    ("region", "region location geo inferencegeo"),
    ("provider", "provider providername vendor customllmprovider system"),
    ("tier", "tier servicetier"),
    ("type", "type kind calltype requesttype operation operationname usagetype endpoint"),
    ("organization", "organization organizationid org orgid tenant tenantid account accountid"),
];

/// The objects in which usage may be nested: the parts that may come before such a name, as `usage` in `usage.prompt_tokens`.
pub(super) const CONTAINERS: &str = "usage usagemetadata tokenusage response body attributes metrics data result llm genai client request \
     span message log event fields properties json operation tokencount timings usageobject responsebody llmoutput \
     responsemetadata tokens";
